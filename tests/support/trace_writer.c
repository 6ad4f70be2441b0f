/* SPDX-License-Identifier: Apache-2.0 */
#include "trace_writer.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { COMMS = 64, THREADS = 16, TOTALS = 256, PEERS = 1024, CALLERS = 8, LIBRARIES = 4 };

static uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t writer_clock(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

/* Start time and such of the process, so that a reader finds it alive if it is. */
static void describe(struct trace_header *header, int pid) {
    char path[64], text[1024] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (file && fgets(header->boot_id, sizeof header->boot_id, file))
        header->boot_id[strcspn(header->boot_id, "\n")] = '\0';
    if (file)
        fclose(file);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "r");
    if (file && fgets(text, sizeof text, file)) {
        char *at = strrchr(text, ')');
        for (int field = 2; field < 22 && at; field++)
            at = strchr(at + 1, ' ');
        header->started = at ? strtoull(at, NULL, 10) : 0;
    }
    if (file)
        fclose(file);
}

static size_t place(struct trace_header *header, unsigned table, size_t at, size_t row_size, unsigned rows) {
    header->tables[table] = (struct trace_table){at, (uint32_t)row_size, rows};
    return at + (row_size * rows + 63) / 64 * 64;
}

struct trace_writer *writer_new(const char *folder, const char *host, int pid, unsigned records) {
    static unsigned made;
    struct trace_header sizes = {0};
    struct trace_writer *writer = calloc(1, sizeof *writer);
    size_t at = TRACE_HEADER_BYTES;
    at = place(&sizes, TRACE_TABLE_COMMS, at, sizeof(struct trace_comm), COMMS);
    at = place(&sizes, TRACE_TABLE_THREADS, at, sizeof(struct trace_thread), THREADS);
    at = place(&sizes, TRACE_TABLE_TOTALS, at, sizeof(struct trace_total), TOTALS);
    at = place(&sizes, TRACE_TABLE_PEERS, at, sizeof(struct trace_peer), PEERS);
    at = place(&sizes, TRACE_TABLE_CALLERS, at, sizeof(struct trace_caller), CALLERS);
    at = place(&sizes, TRACE_TABLE_LIBRARIES, at, sizeof(struct trace_library), LIBRARIES);
    at = place(&sizes, TRACE_TABLE_BLOCKS, at, sizeof(uint32_t), records / TRACE_BLOCK);
    at = place(&sizes, TRACE_TABLE_RING, at, sizeof(struct trace_record), records);
    writer->image = calloc(1, at);
    writer->size = at;
    writer->header = (struct trace_header *)(void *)writer->image;
    memcpy(writer->header->tables, sizes.tables, sizeof sizes.tables);
#define TABLE(field, name) writer->field = (void *)(writer->image + sizes.tables[name].offset)
    TABLE(comms, TRACE_TABLE_COMMS);
    TABLE(threads, TRACE_TABLE_THREADS);
    TABLE(totals, TRACE_TABLE_TOTALS);
    TABLE(peers, TRACE_TABLE_PEERS);
    TABLE(callers, TRACE_TABLE_CALLERS);
    TABLE(libraries, TRACE_TABLE_LIBRARIES);
    TABLE(blocks, TRACE_TABLE_BLOCKS);
    TABLE(ring, TRACE_TABLE_RING);
#undef TABLE
    struct trace_header *header = writer->header;
    memcpy(header->magic, TRACE_MAGIC, sizeof header->magic);
    header->order = TRACE_ORDER;
    header->major = TRACE_MAJOR;
    header->size = at;
    header->clock = TRACE_CLOCK_MONOTONIC;
    header->pid = pid;
    describe(header, pid);
    snprintf(header->host, sizeof header->host, "%s", host);
    snprintf(header->command, sizeof header->command, "train.py");
    writer->now = writer_clock();
    header->opened = (struct trace_instant){writer->now + made, writer->now + made, clock_ns(CLOCK_REALTIME), 1};
    int length = snprintf(NULL, 0, "%s/%s.%d.%u%s", folder, host, pid, made, TRACE_SUFFIX);
    writer->path = malloc((size_t)length + 1);
    snprintf(writer->path, (size_t)length + 1, "%s/%s.%d.%u%s", folder, host, pid, made++, TRACE_SUFFIX);
    header->library_count = 1;
    writer->libraries[0].version = 22809;
    snprintf(writer->libraries[0].path, sizeof writer->libraries[0].path, "/opt/nccl/libnccl.so.2");
    return writer;
}

unsigned writer_comm(struct trace_writer *writer, uint64_t identity, int ranks, int rank, const char *name) {
    unsigned row = writer->header->comm_count++;
    writer->comms[row] = (struct trace_comm){.identity = identity,
                                             .handle = 0x1000 + row,
                                             .enter = writer->now,
                                             .ranks = ranks,
                                             .rank = rank,
                                             .device = rank,
                                             .origin = TRACE_INIT};
    if (name)
        snprintf(writer->comms[row].name, sizeof writer->comms[row].name, "%s", name);
    writer_enter(writer, TRACE_ncclCommInitRank, row, 0, TRACE_NO_TYPE, TRACE_NO_OPERATOR, TRACE_NO_PEER);
    return row;
}

void writer_made(struct trace_writer *writer, unsigned comm) {
    writer->comms[comm].leave = writer->now;
    writer_leave(writer, 0);
}

static struct trace_peer *peer_of(struct trace_writer *writer, unsigned comm, int peer) {
    uint64_t key = TRACE_PEER_KEY(comm, peer);
    unsigned row = 0;
    while (writer->peers[row].key && writer->peers[row].key != key)
        row++;
    writer->peers[row].key = key;
    return &writer->peers[row];
}

void writer_enter(struct trace_writer *writer, unsigned function, unsigned comm, uint64_t count, int type, int op,
                  int peer) {
    struct trace_thread *thread = &writer->threads[writer->thread];
    struct trace_comm *row = comm == TRACE_NO_COMM ? NULL : &writer->comms[comm];
    struct trace_record record = {.enter = writer->now,
                                  .count = count,
                                  .stream = writer->stream,
                                  .peer = peer,
                                  .comm = (uint16_t)comm,
                                  .function = (uint8_t)function,
                                  .type = (uint8_t)type,
                                  .op = (uint8_t)op,
                                  .caller = TRACE_NO_CALLER,
                                  .flags = writer->flags,
                                  .group = thread->depth ? thread->group : 0};
    bool message = function == TRACE_ncclSend || function == TRACE_ncclRecv, collective = false;
#define CALL(name, class, ...) collective |= function == TRACE_##name && #class[0] == 'C' && #class[1] == 'O';
#include "calls.def"
    if (row && (collective || function == TRACE_ncclCommSplit))
        record.call = ++row->collectives;
    if (row && message && count)
        record.call =
            function == TRACE_ncclSend ? ++peer_of(writer, comm, peer)->sends : ++peer_of(writer, comm, peer)->receives;
    record.flags |= record.group ? TRACE_IN_GROUP : 0;
    thread->id = (uint32_t)writer->header->pid + writer->thread;
    record.sequence = (uint64_t)writer->thread << 48 | (thread->written + 1);
    thread->inside = record;
}

void writer_leave(struct trace_writer *writer, int result) {
    struct trace_thread *thread = &writer->threads[writer->thread];
    uint32_t rows = writer->header->tables[TRACE_TABLE_RING].rows;
    struct trace_record record = thread->inside;
    record.leave = writer->now;
    record.result = (uint8_t)result;
    uint64_t *at = &writer->at[writer->thread];
    if (*at % TRACE_BLOCK == 0)
        *at = writer->header->head++ * TRACE_BLOCK;
    writer->ring[(*at)++ % rows] = record;
    thread->written++;
    thread->inside.sequence = 0;
}

void writer_call(struct trace_writer *writer, unsigned function, unsigned comm, uint64_t count, int type, int op,
                 int peer) {
    writer_enter(writer, function, comm, count, type, op, peer);
    writer->now += 1000;
    writer_leave(writer, 0);
    writer->now += 1000;
}

void writer_group_start(struct trace_writer *writer) {
    struct trace_thread *thread = &writer->threads[writer->thread];
    if (thread->depth++ == 0) {
        thread->group++;
        thread->group_since = writer->now;
    }
    writer_call(writer, TRACE_ncclGroupStart, TRACE_NO_COMM, 0, TRACE_NO_TYPE, TRACE_NO_OPERATOR, TRACE_NO_PEER);
}

void writer_group_end(struct trace_writer *writer) {
    writer_call(writer, TRACE_ncclGroupEnd, TRACE_NO_COMM, 0, TRACE_NO_TYPE, TRACE_NO_OPERATOR, TRACE_NO_PEER);
    writer->threads[writer->thread].depth--;
}

void writer_end(struct trace_writer *writer, unsigned comm, unsigned how) {
    writer_call(writer, how == TRACE_ABORTED ? TRACE_ncclCommAbort : TRACE_ncclCommDestroy, comm, 0, TRACE_NO_TYPE,
                TRACE_NO_OPERATOR, TRACE_NO_PEER);
    writer->comms[comm].ending = (uint16_t)how;
    writer->comms[comm].ended = writer->now;
}

void writer_exit(struct trace_writer *writer) {
    writer->header->ended = writer->now;
}

void writer_write(struct trace_writer *writer) {
    writer->header->latest = (struct trace_instant){writer->now, writer->now, clock_ns(CLOCK_REALTIME), 1};
    int file = open(writer->path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (file < 0 || write(file, writer->image, writer->size) != (ssize_t)writer->size)
        abort();
    close(file);
}

void writer_free(struct trace_writer *writer) {
    free(writer->image);
    free(writer->path);
    free(writer);
}

void writer_all_reduce(struct trace_writer *writer, unsigned comm, uint64_t count) {
    writer_call(writer, TRACE_ncclAllReduce, comm, count, 7, TRACE_SUM, TRACE_NO_PEER);
}

void writer_send(struct trace_writer *writer, unsigned comm, uint64_t count, int peer) {
    writer_call(writer, TRACE_ncclSend, comm, count, 7, TRACE_NO_OPERATOR, peer);
}

void writer_receive(struct trace_writer *writer, unsigned comm, uint64_t count, int peer) {
    writer_call(writer, TRACE_ncclRecv, comm, count, 7, TRACE_NO_OPERATOR, peer);
}
