/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are damaged, cut, or no traces at all: refused with a reason, or read as far as they make sense. Never a
 * crash, an endless loop, or memory without limit, whatever the bytes are.
 */
#include "support.h"

#include "trace.h"
#include "trace_writer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned seed = 4711;

static unsigned any(unsigned below) {
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % below;
}

/* A job of two ranks with some of everything. */
static void write_job(struct trace_writer *ranks[2], const char *folder) {
    for (unsigned i = 0; i < 2; i++) {
        struct trace_writer *writer = ranks[i] = writer_new(folder, "node1", getpid(), 1024);
        unsigned comm = writer_comm(writer, 99, 2, (int)i, "tp");
        writer_made(writer, comm);
        for (unsigned k = 0; k < 50; k++)
            writer_all_reduce(writer, comm, k);
        writer_group_start(writer);
        writer_send(writer, comm, 5, (int)(1 - i));
        writer_receive(writer, comm, 5, (int)(1 - i));
        writer_group_end(writer);
        writer_enter(writer, TRACE_ncclBroadcast, comm, 9, 7, TRACE_NO_OPERATOR, 0);
        writer_write(writer);
    }
}

/* Reads all of a folder, as `hang` does, and throws it away. */
static unsigned read_folder(const char *folder, char **why) {
    struct trace_set set = {0};
    struct trace_findings findings;
    trace_set_add(&set, folder);
    trace_comms_join(&set);
    trace_clocks_align(&set);
    trace_match(&set, NULL, NULL);
    trace_judge(&set, &findings);
    unsigned count = set.count;
    if (why)
        *why = set.refused_count ? strdup(set.refused[0].why) : NULL;
    trace_findings_free(&findings);
    trace_set_close(&set);
    return count;
}

static void refused(const char *content, size_t size, const char *why_part) {
    const char *folder = fresh_folder();
    char *why;
    int file = open(text("%s/x%s", folder, TRACE_SUFFIX), O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(file, content, size), size);
    close(file);
    assert_int_equal(read_folder(folder, &why), 0);
    assert_non_null(why);
    assert_contains(why, why_part);
    free(why);
}

static void what_is_no_trace_is_refused_with_the_reason(void **state) {
    (void)state;
    struct trace_writer *ranks[2];
    write_job(ranks, fresh_folder());
    refused("", 0, "it has 0 bytes, less than a header");
    char *image = malloc(ranks[0]->size);
    memcpy(image, ranks[0]->image, ranks[0]->size);
    memset(image, 0, 8);
    refused(image, ranks[0]->size, "it is not a trace of nccl-redirect");
    memcpy(image, ranks[0]->image, ranks[0]->size);
    ((struct trace_header *)(void *)image)->major = 7;
    refused(image, ranks[0]->size, "its format is version 7.0, this tool reads 1.x");
    ((struct trace_header *)(void *)image)->major = 1;
    refused(image, ranks[0]->size / 2, "reaches beyond the file");
    ((struct trace_header *)(void *)image)->order = 0x04030201;
    refused(image, ranks[0]->size, "another byte order");
    free(image);
}

static void what_is_no_file_is_refused(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    char *why;
    assert_int_equal(mkfifo(text("%s/x%s", folder, TRACE_SUFFIX), 0600), 0);
    assert_int_equal(read_folder(folder, &why), 0);
    assert_contains(why, "it is not a regular file");
    free(why);
}

static void a_later_minor_version_with_longer_rows_is_read(void **state) {
    (void)state;
    struct trace_writer *ranks[2];
    const char *folder = fresh_folder();
    write_job(ranks, folder);
    ranks[0]->header->minor = 9;
    /* the callers' table, which nothing refers to here, read as fewer and longer rows */
    ranks[0]->header->tables[TRACE_TABLE_CALLERS].row_size *= 2;
    ranks[0]->header->tables[TRACE_TABLE_CALLERS].rows /= 2;
    writer_write(ranks[0]);
    assert_int_equal(read_folder(folder, NULL), 2);
}

/* Random damage: bytes, words of extreme values, cuts; more of it where tables begin. */
static void damage(char *image, size_t *size) {
    static const uint64_t words[] = {0,          1,          UINT64_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1,
                                     0xffffffff, 0x7fffffff, 0x10000};
    for (unsigned times = 1 + any(8); times; times--) {
        size_t limit = any(3) ? sizeof(struct trace_header) : any(2) ? 40000 : *size;
        size_t at = any((unsigned)(limit - 8));
        if (any(2))
            image[at] = (char)any(256);
        else
            memcpy(image + at / 8 * 8, &words[any(8)], 8);
    }
    if (any(10) == 0)
        *size = any((unsigned)*size);
}

static void damage_of_any_kind_is_survived(void **state) {
    (void)state;
    struct trace_writer *ranks[2];
    const char *folder = fresh_folder();
    unsigned runs = getenv("NCR_FUZZ_RUNS") ? (unsigned)atoi(getenv("NCR_FUZZ_RUNS")) : 1500, readable = 0;
    write_job(ranks, folder);
    char *image = malloc(ranks[0]->size);
    for (unsigned run = 0; run < runs; run++) {
        size_t size = ranks[0]->size;
        memcpy(image, ranks[0]->image, size);
        damage(image, &size);
        memcpy(image, TRACE_MAGIC, 8);
        int file = open(ranks[0]->path, O_WRONLY | O_TRUNC);
        assert_int_equal(write(file, image, size), size);
        close(file);
        alarm(20);
        readable += read_folder(folder, NULL);
        alarm(0);
    }
    free(image);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    assert_true(readable > runs); /* more than the undamaged one of each */
    assert_true(usage.ru_maxrss < 300 * 1024);
}

static void texts_of_a_trace_have_no_control_characters(void **state) {
    (void)state;
    char text[] = "a\x1b[31mb\nc\xc2\x9b"
                  "d\xff\xc3\xa9\x7f";
    trace_clean_text(text);
    assert_string_equal(text, "a?[31mb?c??d?\xc3\xa9?");
    /* too long, half of a pair, beyond the last character, cut: no reader of JSON takes these */
    char no_utf8[] = "\xc0\xaf \xe0\x80\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82";
    trace_clean_text(no_utf8);
    assert_string_equal(no_utf8, "?? ??? ??? ???? ??");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_trace_is_refused_with_the_reason),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(a_later_minor_version_with_longer_rows_is_read),
        cmocka_unit_test(damage_of_any_kind_is_survived),
        cmocka_unit_test(texts_of_a_trace_have_no_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
