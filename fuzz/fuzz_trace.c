/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces: files that a damaged disk, another user or a process in the middle of a write leaves. The input is what three
 * ranks do, event by event, and bytes that are then changed in their files; all of it is read, matched and judged.
 */
#include "trace/set.c"

#include "support/fuzz.h"
#include "tests/support/trace_writer.h"

enum { RANKS = 3, RECORDS = 64, MOST_COMMS = 6, EVENT = 6 };

static struct trace_writer *ranks[RANKS];
static char *pristine[RANKS];
static struct trace_writer fresh[RANKS]; /* as they were when nothing had been written */

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    for (unsigned i = 0; i < RANKS; i++) {
        ranks[i] = writer_new("/trace", i < 2 ? "node1" : "node2", (int)(1000 + i), RECORDS);
        struct trace_header *header = ranks[i]->header;
        snprintf(header->boot_id, sizeof header->boot_id, "boot of %.16s", header->host);
        memset(header->environment, 0, sizeof header->environment);
        snprintf(header->environment, sizeof header->environment, "RANK=%u", i);
        header->started = 4711;
        header->observed = TRACE_RUNNING;
        header->tables[TRACE_TABLE_COMMS].rows = MOST_COMMS + 2;
        header->tables[TRACE_TABLE_PEERS].rows = 32;
        header->tables[TRACE_TABLE_TOTALS].rows = 32;
        ranks[i]->now = 1000000000;
        header->opened = (struct trace_instant){ranks[i]->now, ranks[i]->now, 1700000000000000000, 1};
        header->observed_at = (struct trace_instant){ranks[i]->now * 90, ranks[i]->now * 90, 1700000089000000000, 1};
        pristine[i] = malloc(ranks[i]->size);
        memcpy(pristine[i], ranks[i]->image, ranks[i]->size);
        fresh[i] = *ranks[i];
    }
    return 0;
}

static void begin_anew(void) {
    for (unsigned i = 0; i < RANKS; i++) {
        *ranks[i] = fresh[i];
        memcpy(ranks[i]->image, pristine[i], ranks[i]->size);
    }
}

static void make_comm(struct trace_writer *writer, unsigned rank, const uint8_t *event) {
    if (writer->header->comm_count < MOST_COMMS) {
        unsigned comm = writer_comm(writer, 1 + event[2] % 4, event[3] % 5, (int)((rank + event[4]) % RANKS), "tp");
        if (event[5] & 1)
            writer_made(writer, comm);
    }
}

/* Either in full, or so that the thread stays inside. */
static void call(struct trace_writer *writer, const uint8_t *event) {
    unsigned comms = writer->header->comm_count, comm = comms ? event[3] % comms : TRACE_NO_COMM;
    unsigned function = 1 + event[2] % (TRACE_FUNCTIONS - 1);
    if (comm == TRACE_NO_COMM)
        return;
    writer_enter(writer, function, comm, event[4], event[4] % 12, event[4] % 6, event[5] % RANKS);
    if (event[5] & 0x80)
        return;
    writer->now += 1000 * event[4];
    writer_leave(writer, event[5] & 0x40 ? 3 : 0);
    writer->now += 1000;
}

/* One, two, four or eight bytes: in the header, or in a row of a table. */
static void change(struct trace_writer *writer, const uint8_t *event) {
    unsigned table = event[1] % (TRACE_TABLES + 2);
    uint64_t offset = event[2] | (uint64_t)event[3] << 8, value = event[4];
    size_t width = (size_t)1 << event[5] % 4;
    if (table < TRACE_TABLES)
        offset = writer->header->tables[table].offset + offset % 4096;
    value = event[5] & 0x10   ? value << 56
            : event[5] & 0x20 ? ~value
            : event[5] & 0x40 ? value * 0x0101010101010101
                              : value;
    if (offset < writer->size && width <= writer->size - offset)
        memcpy(writer->image + offset, &value, width);
}

static void play(const uint8_t *data, size_t size) {
    for (; size >= EVENT; data += EVENT, size -= EVENT) {
        unsigned rank = data[0] % RANKS;
        struct trace_writer *writer = ranks[rank];
        writer->thread = data[0] / 64;
        switch (data[0] / RANKS % 8) {
        case 0:
            make_comm(writer, rank, data);
            break;
        case 1:
            writer_group_start(writer);
            break;
        case 2:
            if (writer->threads[writer->thread].depth)
                writer_group_end(writer);
            break;
        case 3:
            writer->now += (uint64_t)data[2] << data[3] % 32;
            break;
        case 4:
            writer->flags = data[2];
            break;
        case 5:
            if (writer->header->comm_count)
                writer_end(writer, data[2] % writer->header->comm_count, data[3] % (TRACE_NEVER_MADE + 1));
            break;
        default:
            call(writer, data);
            break;
        }
    }
}

static void check(const struct trace_findings *findings) {
    for (unsigned i = 0; i < findings->count; i++) {
        const struct trace_finding *finding = &findings->list[i];
        MUST(finding->kind < TRACE_KINDS && finding->sentence.length > 0);
        MUST(is_visible(ncr_text_get(&finding->sentence)) && is_visible(ncr_text_get(&finding->doubts)));
    }
}

/* Compared with itself, a job is as fast. */
static void compare(struct trace_set *set) {
    struct trace_pace pace;
    struct trace_comparison comparison;
    trace_pace_read(set, &pace);
    trace_pace_compare(&pace, 1, &pace, 1, &comparison);
    MUST(!comparison.differs && comparison.count <= pace.count && comparison.share <= 1);
    free(comparison.rows);
    free(pace.rows);
}

static void read_all(bool changed) {
    struct trace_set set = {0};
    struct trace_findings findings;
    memory_files_clear();
    for (unsigned i = 0; i < RANKS; i++) {
        memory_file_add(ranks[i]->path, ranks[i]->image, ranks[i]->size);
        add_file(&set, ranks[i]->path);
    }
    if (!changed && set.refused_count)
        fprintf(stderr, "%s\n", set.refused[0].why);
    MUST(changed || set.count == RANKS);
    trace_comms_join(&set);
    trace_clocks_align(&set);
    trace_match(&set, NULL, NULL);
    trace_judge(&set, &findings);
    check(&findings);
    compare(&set);
    for (unsigned i = 0; i < set.refused_count; i++)
        MUST(set.refused[i].why && is_visible(set.refused[i].why));
    trace_findings_free(&findings);
    trace_set_close(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t changes = size ? data[0] : 0;
    begin_anew();
    if (size > 0)
        data++, size--;
    size_t events = size / EVENT > changes ? size / EVENT - changes : 0;
    play(data, events * EVENT);
    for (size_t at = events * EVENT; at + EVENT <= size; at += EVENT)
        change(ranks[data[at] % RANKS], data + at);
    read_all(changes > 0);
    return 0;
}
