/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sure the reader is, from traces made by hand: files are missing, calls were captured, the job moves, it has several
 * hosts. Legal programs of any shape give no finding.
 */
#include "trace_job.h"

/* ---- what lowers the certainty ---- */

static void a_missing_trace_makes_it_likely_only(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "tp");
    all_reduce(&job, 2);
    writer_all_reduce(job.ranks[0], 0, 1024);
    writer_free(job.ranks[2]);
    job.ranks[2] = NULL;
    const struct trace_finding *finding = judge(&job, true);
    assert_int_equal(finding->kind, TRACE_RANK_MISSING);
    assert_int_equal(finding->certainty, TRACE_LIKELY);
    assert_contains(ncr_text_get(&finding->doubts), "there is no trace of rank 2 of tp");
    end(&job);
}

static void captured_calls_make_it_likely_only(void **state) {
    (void)state;
    struct job job;
    begin(&job, 2);
    make_comm(&job, WORLD, "tp");
    job.ranks[0]->flags = TRACE_CAPTURED;
    writer_all_reduce(job.ranks[0], 0, 1024);
    const struct trace_finding *finding = judge(&job, true);
    assert_int_equal(finding->certainty, TRACE_LIKELY);
    assert_contains(ncr_text_get(&finding->doubts), "captured");
    end(&job);
}

static void a_job_that_moves_has_no_waiting_ranks(void **state) {
    (void)state;
    struct job job;
    begin(&job, 2);
    make_comm(&job, WORLD, "tp");
    for (unsigned i = 0; i < 2; i++)
        job.ranks[i]->now = writer_clock() - 1000000;
    writer_all_reduce(job.ranks[0], 0, 1024);
    const struct trace_finding *finding = judge(&job, false);
    assert_int_equal(finding->kind, TRACE_NOTHING_WRONG);
    assert_contains(ncr_text_get(&finding->sentence), "makes progress");
    end(&job);
}

static void who_lets_others_wait_for_long_may_be_late(void **state) {
    (void)state;
    struct job job;
    begin(&job, 2);
    make_comm(&job, WORLD, "tp");
    writer_all_reduce(job.ranks[0], 0, 1024); /* 70 s ago */
    const struct trace_finding *finding = judge(&job, false);
    assert_int_equal(finding->kind, TRACE_RANK_MISSING);
    assert_int_equal(finding->certainty, TRACE_POSSIBLE);
    assert_contains(ncr_text_get(&finding->doubts), "may just be late");
    end(&job);
}

/* ---- several hosts, communicators that grow ---- */

/* The monotonic clocks of two hosts have nothing to do with each other; real-time clocks are 3 s apart. */
static void hosts_are_brought_onto_one_line(void **state) {
    (void)state;
    struct job job;
    begin(&job, 2);
    struct trace_header *far = job.ranks[1]->header;
    strcpy(far->boot_id, "another-boot");
    strcpy(far->host, "node2");
    for (unsigned i = 0; i < 2; i++) {
        unsigned comm = writer_comm(job.ranks[i], WORLD, 2, (int)i, "tp");
        job.ranks[i]->now += 2000000; /* 2 ms inside of init: the clocks are known to as much */
        writer_made(job.ranks[i], comm);
        for (unsigned k = 0; k < 20; k++)
            writer_all_reduce(job.ranks[i], comm, 64);
    }
    const uint64_t shift = 5000000000000, wrong = 3000000000;
#define SHIFT(stamp) (stamp) += (stamp) ? shift : 0
    SHIFT(far->opened.ticks);
    SHIFT(far->opened.monotonic);
    far->opened.real += wrong;
    SHIFT(job.ranks[1]->comms[0].enter);
    SHIFT(job.ranks[1]->comms[0].leave);
    for (unsigned i = 0; i < 1024; i++) {
        SHIFT(job.ranks[1]->ring[i].enter);
        SHIFT(job.ranks[1]->ring[i].leave);
    }
    job.ranks[1]->now += shift;
    assert_int_equal(judge(&job, true)->kind, TRACE_NOTHING_WRONG);
    assert_int_equal(job.set.hosts, 2);
    assert_in_range(job.set.clock_error, 1, 5000000);
    const struct trace_file *one = job.set.files[0], *other = job.set.files[1];
    for (unsigned i = 0; i < 21; i++) {
        int64_t apart = trace_time(one, one->tail[i].enter) - trace_time(other, other->tail[i].enter);
        assert_true(apart > -5000000 && apart < 5000000);
    }
    end(&job);
}

/* The root of the old ranks knows both names of the grown communicator, others one each. */
static void a_grown_communicator_is_one(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    for (unsigned i = 0; i < 4; i++) {
        unsigned comm = writer_comm(job.ranks[i], i == 1 || i == 2 ? 500 : 600, 4, (int)i, NULL);
        job.ranks[i]->comms[comm].origin = TRACE_GROW;
        job.ranks[i]->comms[comm].alias = i == 2 ? 600 : 0; /* 0 and 3 know 600, 1 knows 500 */
        writer_made(job.ranks[i], comm);
        if (i != 3)
            writer_all_reduce(job.ranks[i], comm, 5);
    }
    expect(&job, TRACE_RANK_MISSING, 1, 3, "AllReduce #1 on");
}

/* ---- legal programs ---- */

static unsigned seed;

static unsigned any(unsigned below) {
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % below;
}

/* A subset of the ranks has a communicator of its own; the others take part in the split without a color. */
static void split(struct job *job, uint64_t identity) {
    unsigned mask = 1 + any((1u << job->count) - 1);
    int size = __builtin_popcount(mask), rank = 0;
    for (unsigned i = 0; i < job->count; i++) {
        struct trace_writer *writer = job->ranks[i];
        writer_call(writer, TRACE_ncclCommSplit, 0, 0, TRACE_NO_TYPE, TRACE_NO_OPERATOR, TRACE_NO_PEER);
        if (!(mask & 1u << i))
            continue;
        unsigned row = writer->header->comm_count++;
        writer->comms[row] = (struct trace_comm){.identity = identity,
                                                 .parent = WORLD,
                                                 .enter = writer->now - 2000,
                                                 .leave = writer->now,
                                                 .ranks = size,
                                                 .rank = rank++,
                                                 .origin = TRACE_SPLIT};
    }
}

static int row_of(const struct trace_writer *writer, uint64_t identity) {
    for (unsigned i = 0; i < writer->header->comm_count; i++)
        if (writer->comms[i].identity == identity)
            return (int)i;
    return -1;
}

static void collective(struct job *job, uint64_t identity) {
    static const unsigned functions[] = {TRACE_ncclAllReduce,     TRACE_ncclBroadcast, TRACE_ncclAllGather,
                                         TRACE_ncclReduceScatter, TRACE_ncclReduce,    TRACE_ncclAlltoAll};
    unsigned function = functions[any(6)], count = any(4) ? any(5000) : 0, type = any(10), alias = any(job->count);
    bool reduces =
        function == TRACE_ncclAllReduce || function == TRACE_ncclReduceScatter || function == TRACE_ncclReduce;
    int op = reduces ? (int)any(5) : TRACE_NO_OPERATOR;
    int root = function == TRACE_ncclBroadcast || function == TRACE_ncclReduce ? 0 : TRACE_NO_PEER;
    for (unsigned i = 0; i < job->count; i++) {
        int row = row_of(job->ranks[i], identity);
        if (row >= 0)
            writer_call(job->ranks[i], function == TRACE_ncclBroadcast && i == alias ? TRACE_ncclBcast : function,
                        (unsigned)row, count, (int)type, op, root);
    }
}

/* An exchange of unequal parts, in a group; parts of no elements are sent by some ranks and left out by others. */
static void exchange(struct job *job) {
    unsigned counts[MOST][MOST];
    for (unsigned i = 0; i < job->count; i++)
        for (unsigned k = 0; k < job->count; k++)
            counts[i][k] = any(3) ? any(100) : 0;
    for (unsigned i = 0; i < job->count; i++) {
        bool leaves_out = any(2);
        writer_group_start(job->ranks[i]);
        for (unsigned k = 0; k < job->count; k++) {
            if (counts[i][k] || !leaves_out)
                writer_send(job->ranks[i], 0, counts[i][k], (int)k);
            if (counts[k][i] || !leaves_out)
                writer_receive(job->ranks[i], 0, counts[k][i], (int)k);
        }
        writer_group_end(job->ranks[i]);
    }
}

static void legal_program(struct job *job) {
    uint64_t ids[8] = {WORLD};
    unsigned comms = 1, steps = 5 + any(300);
    begin(job, 2 + any(6));
    make_comm(job, WORLD, NULL);
    for (unsigned step = 0; step < steps; step++) {
        unsigned what = any(20);
        for (unsigned i = 0; i < job->count; i++)
            job->ranks[i]->now += any(100000);
        if (what == 0 && comms < 8) {
            ids[comms] = 100 + comms;
            split(job, ids[comms++]);
        } else if (what < 4) {
            exchange(job);
        } else {
            collective(job, ids[any(comms)]);
        }
    }
    for (unsigned i = 0; any(2) && i < job->count; i++) { /* some end, some are looked at while they run */
        for (unsigned row = 0; row < job->ranks[i]->header->comm_count; row++)
            writer_end(job->ranks[i], row, TRACE_DESTROYED);
        writer_exit(job->ranks[i]);
    }
}

static void two_hundred_legal_programs_give_no_finding(void **state) {
    (void)state;
    for (unsigned run = 0; run < 200; run++) {
        struct job job;
        seed = 77 + run;
        legal_program(&job);
        const struct trace_finding *finding = judge(&job, true);
        if (finding->kind != TRACE_NOTHING_WRONG)
            fail_msg("program %u: %s", run, ncr_text_get(&finding->sentence));
        end(&job);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_trace_makes_it_likely_only),
        cmocka_unit_test(captured_calls_make_it_likely_only),
        cmocka_unit_test(a_job_that_moves_has_no_waiting_ranks),
        cmocka_unit_test(who_lets_others_wait_for_long_may_be_late),
        cmocka_unit_test(hosts_are_brought_onto_one_line),
        cmocka_unit_test(a_grown_communicator_is_one),
        cmocka_unit_test(two_hundred_legal_programs_give_no_finding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
