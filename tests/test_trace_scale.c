/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A large job: every record of every rank is compared, in time and memory that a laptop has. NCR_SCALE=512 makes it the
 * size of the bar (512 ranks with 65,536 records each, 2.2 GB of files: less than 10 s and 1 GiB); 32 by default.
 */
#include "support.h"

#include "trace.h"
#include "trace_writer.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { RECORDS = 65536 };

/* World, and pairs of neighbours; one rank in the middle passes another count in its last call on the world. */
static void write_rank(const char *folder, unsigned ranks, unsigned rank) {
    struct trace_writer *writer = writer_new(folder, text("node%u", rank / 8), 1000 + (int)rank, RECORDS);
    unsigned world = writer_comm(writer, 1, (int)ranks, (int)rank, "world");
    writer_made(writer, world);
    unsigned pair = writer_comm(writer, 1000 + rank / 2, 2, (int)(rank % 2), NULL);
    writer_made(writer, pair);
    for (unsigned i = 0; i < RECORDS / 2 + 1000; i++) {
        bool odd = rank == ranks / 2 && i == RECORDS / 2 + 999;
        writer_all_reduce(writer, world, odd ? 7 : 1024);
        writer_all_reduce(writer, pair, 64);
    }
    writer_write(writer);
    writer_free(writer);
}

static void every_record_of_a_large_job_is_compared(void **state) {
    (void)state;
    unsigned ranks = getenv("NCR_SCALE") ? (unsigned)atoi(getenv("NCR_SCALE")) : 32;
    const char *folder = fresh_folder();
    for (unsigned rank = 0; rank < ranks; rank++)
        write_rank(folder, ranks, rank);
    uint64_t begin = writer_clock();
    struct trace_set set = {0};
    struct trace_findings findings;
    trace_set_add(&set, folder);
    trace_comms_join(&set);
    trace_clocks_align(&set);
    trace_match(&set, NULL, NULL);
    trace_judge(&set, &findings);
    double seconds = (double)(writer_clock() - begin) / 1e9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    print_message("    %u ranks, %llu records: %.2f s, %ld MiB\n", ranks, (unsigned long long)set.matching->records,
                  seconds, usage.ru_maxrss / 1024);
    assert_int_equal(set.matching->records, (uint64_t)ranks * RECORDS);
    assert_int_equal(findings.list[0].kind, TRACE_COUNT_DIFFERS);
    assert_int_equal(findings.list[0].call, RECORDS / 2 + 1000);
    assert_int_equal(set.communicators[findings.list[0].communicator].members[findings.list[0].members[0]].rank,
                     ranks / 2);
    assert_true(seconds < (ranks > 64 ? 10 : 5));
    assert_true(usage.ru_maxrss < 1024 * 1024);
    trace_findings_free(&findings);
    trace_set_close(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_of_a_large_job_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
