/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `nccl-redirect compare`: which of two NCCLs is faster, from traces whose times are known, and from a job that runs with
 * each in turn.
 */
#include "support.h"

#include "trace.h"
#include "trace_writer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs of two ranks that make the same calls: AllReduces of two sizes, each so many microseconds before the next. */
struct runs {
    unsigned count, calls;
    double small, large;
    const double *pace; /* of each run, a factor */
    uint64_t elements;  /* of the large ones */
    uint8_t flags;
};

static void write_rank(const char *folder, unsigned run, int rank, const struct runs *runs) {
    static int pid = 1000000; /* of no process */
    struct trace_writer *writer = writer_new(folder, "node1", pid++, 4096);
    unsigned comm =
        writer_comm(writer, 0x1000000u * (uint64_t)getpid() + (uint64_t)(uintptr_t)folder + run, 2, rank, NULL);
    writer->now += 50000000;
    writer_made(writer, comm);
    for (unsigned i = 0; i < runs->calls; i++) {
        uint64_t begin = writer->now;
        double us = (i % 4 == 3 ? runs->large : runs->small) * runs->pace[run];
        writer->flags = runs->flags;
        writer_all_reduce(writer, comm, i % 4 == 3 ? runs->elements : 256);
        writer->now = begin + (uint64_t)(us * 1000);
        if (i < 30)
            writer->now += 30000000; /* what the first calls cost is their own */
    }
    writer_exit(writer);
    writer_write(writer);
    writer_free(writer);
}

static const char *write_runs(const struct runs *runs) {
    const char *folder = fresh_folder();
    for (unsigned run = 0; run < runs->count; run++)
        for (int rank = 0; rank < 2; rank++)
            write_rank(folder, run, rank, runs);
    return folder;
}

static struct result compare(const struct runs *a, const struct runs *b, const char *option) {
    struct result result =
        run(WITHOUT_SHIM, NO_ENV, CMD(built("nccl-redirect"), "compare", option, write_runs(a), write_runs(b)));
    print_message("    %.*s\n", (int)strcspn(result.out, "\n"), result.out);
    return result;
}

/* ---- traces ---- */

static const double even[] = {1.00, 1.02, 0.99, 1.01, 0.98, 1.00}, odd[] = {1.01, 0.98, 1.00, 0.99, 1.02, 1.01};

static void the_same_nccl_shows_no_difference(void **state) {
    (void)state;
    struct runs a = {5, 400, 100, 1000, even, 1 << 20, 0}, b = {5, 400, 100, 1000, odd, 1 << 20, 0};
    struct result result = compare(&a, &b, "--repeat=1");
    assert_contains(result.out, "No difference shown between ");
    assert_contains(result.out, "95 % confidence: the second takes ");
    assert_contains(result.out, " less to ");
    assert_contains(result.out, "5 and 5, 2 ranks");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* One size is a fifth slower with the second, the other equal: 0.25 * 1000 of 0.75 * 100 + 0.25 * 1000 microseconds. */
static void a_slower_one_is_named_with_its_interval(void **state) {
    (void)state;
    struct runs a = {5, 400, 100, 1000, even, 1 << 20, 0}, b = {5, 400, 100, 1200, odd, 1 << 20, 0};
    struct result result = compare(&a, &b, "--repeat=1");
    const char *first = strstr(result.out, " (NCCL 2.28.9) is faster than ");
    assert_non_null(first);
    assert_contains(result.out,
                    "first 323.7 us, second 373.5 us from a call to the next: the second takes 15.4 % more");
    assert_contains(result.out, "AllReduce                   2   4096 KiB");
    assert_lacks(result.out, "captured");
    result_free(&result);
    result = compare(&b, &a, "--json");
    assert_contains(result.out, "\"ratio_per_mille\": 867");
    assert_lacks(result.out, "\"faster\": null");
    result_free(&result);
}

static void few_runs_show_nothing(void **state) {
    (void)state;
    struct runs a = {1, 400, 100, 1000, even, 1 << 20, 0}, b = {2, 400, 200, 2000, odd, 1 << 20, 0};
    struct result result = compare(&a, &b, "--repeat=1");
    assert_contains(result.out, "No difference shown between ");
    assert_contains(result.out, "at least 3 runs of each are needed");
    result_free(&result);
}

static void as_many_runs_of_each_are_not_needed(void **state) {
    (void)state;
    struct runs a = {3, 400, 100, 1000, even, 1 << 20, 0}, b = {6, 400, 50, 500, odd, 1 << 20, TRACE_CAPTURED};
    struct result result = compare(&a, &b, "--repeat=1");
    assert_contains(result.out, " is faster than ");
    assert_contains(result.out, "the second takes 50.1 % less");
    assert_contains(result.out, "replays of CUDA graphs: 4332 calls were captured");
    result_free(&result);
}

static void other_calls_are_not_compared(void **state) {
    (void)state;
    struct runs a = {3, 400, 100, 1000, even, 1 << 20, 0}, b = {3, 400, 100, 1000, even, 1 << 10, 0};
    struct result result = compare(&a, &b, "--repeat=1");
    assert_contains(result.out, "left out");
    assert_contains(result.out, "25 % of the calls");
    result_free(&result);
    result = run(WITHOUT_SHIM, NO_ENV, CMD(built("nccl-redirect"), "compare", write_runs(&a), fresh_folder()));
    assert_contains(result.err, "no trace in what was named");
    assert_int_equal(result.status, 3);
    result_free(&result);
}

/* ---- a job that runs ---- */

static struct result run_both(const char *a, const char *b, const char *const *job) {
    const char *command[16] = {built("nccl-redirect"), "compare", "--repeat=3", a, b, "--"};
    for (unsigned i = 6; *job; i++)
        command[i] = *job++;
    return run(WITHOUT_SHIM, ENV(text("TMPDIR=%s", fresh_folder())), command);
}

static void a_job_is_run_with_each_in_turn(void **state) {
    (void)state;
    const char *const job[] = {program("linked_job"), "2", "all=init,ar:0:100*60", NULL};
    struct result result = run_both(hostmem("slower"), hostmem("plain"), job);
    print_message("    %.*s\n", (int)strcspn(result.out, "\n"), result.out);
    assert_contains(result.out,
                    text("%s (NCCL 2.28.9) is faster than %s (NCCL 2.28.9).", hostmem("plain"), hostmem("slower")));
    assert_contains(result.out, "3 and 3, 2 ranks");
    assert_contains(result.err, "rank 1 done");
    assert_lacks(result.out, "rank 1 done");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void a_job_that_fails_ends_it(void **state) {
    (void)state;
    const char *const job[] = {"sh", "-c", "exit 5", NULL};
    struct result result = run_both(hostmem("plain"), hostmem("old"), job);
    assert_contains(result.err, "the command ends with exit code 5; nothing is compared");
    assert_int_equal(result.status, 5);
    result_free(&result);
    result = run(WITHOUT_SHIM, NO_ENV, CMD(built("nccl-redirect"), "compare", "one"));
    assert_contains(result.err, "which two?");
    assert_int_equal(result.status, 2);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_nccl_shows_no_difference),
        cmocka_unit_test(a_slower_one_is_named_with_its_interval),
        cmocka_unit_test(few_runs_show_nothing),
        cmocka_unit_test(as_many_runs_of_each_are_not_needed),
        cmocka_unit_test(other_calls_are_not_compared),
        cmocka_unit_test(a_job_is_run_with_each_in_turn),
        cmocka_unit_test(a_job_that_fails_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
