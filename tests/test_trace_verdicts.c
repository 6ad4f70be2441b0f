/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reader concludes from traces made by hand: one fault injected into a job of several ranks, and the rank, the
 * call and its number must be named; legal programs of any shape must give no finding.
 */
#include "support.h"

#include "trace.h"
#include "trace_writer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 16, FLOAT = 7, WORLD = 0xabcd };

/* A job: each rank a writer, whose process is a child of this test that sleeps. */
struct job {
    struct trace_writer *ranks[MOST];
    int pids[MOST];
    unsigned count;
    const char *folder;
    struct trace_set set;
    struct trace_findings findings;
};

static void begin(struct job *job, unsigned count) {
    *job = (struct job){.count = count, .folder = fresh_folder()};
    for (unsigned i = 0; i < count; i++) {
        job->pids[i] = fork();
        if (job->pids[i] == 0) {
            alarm(120);
            pause();
            _exit(0);
        }
        job->ranks[i] = writer_new(job->folder, "node1", job->pids[i], 1024);
        job->ranks[i]->now -= 75000000000u; /* 75 s ago, so that later calls are before the reading */
    }
}

static void make_comm(struct job *job, uint64_t identity, const char *name) {
    for (unsigned i = 0; i < job->count; i++) {
        unsigned comm = writer_comm(job->ranks[i], identity, (int)job->count, (int)i, name);
        job->ranks[i]->now += 1000000;
        writer_made(job->ranks[i], comm);
    }
}

static void all_reduce(struct job *job, unsigned times) {
    for (unsigned k = 0; k < times; k++)
        for (unsigned i = 0; i < job->count; i++)
            writer_all_reduce(job->ranks[i], 0, 1024);
}

static const struct trace_finding *judge(struct job *job, bool quiet) {
    for (unsigned i = 0; i < job->count; i++)
        if (job->ranks[i])
            writer_write(job->ranks[i]);
    trace_set_add(&job->set, job->folder);
    trace_comms_join(&job->set);
    trace_clocks_align(&job->set);
    trace_match(&job->set, NULL, NULL);
    for (unsigned i = 0; i < job->set.count; i++)
        job->set.files[i]->moved = !quiet;
    trace_judge(&job->set, &job->findings);
    for (unsigned i = 0; i < job->findings.count; i++)
        print_message("    %s, %s: %s%s%s\n", trace_kind_name(job->findings.list[i].kind),
                      trace_certainty_name(job->findings.list[i].certainty),
                      ncr_text_get(&job->findings.list[i].sentence), job->findings.list[i].doubts.length ? " | " : "",
                      ncr_text_get(&job->findings.list[i].doubts));
    return &job->findings.list[0];
}

static void end(struct job *job) {
    trace_findings_free(&job->findings);
    trace_set_close(&job->set);
    for (unsigned i = 0; i < job->count; i++) {
        kill(job->pids[i], SIGKILL);
        waitpid(job->pids[i], NULL, 0);
        if (job->ranks[i])
            writer_free(job->ranks[i]);
    }
}

/* The first finding: its kind, the call's number, the rank it is about (-1: not checked), and a part of the sentence. */
static void expect(struct job *job, enum trace_kind kind, uint64_t call, int rank, const char *part) {
    const struct trace_finding *finding = judge(job, true);
    assert_string_equal(trace_kind_name(finding->kind), trace_kind_name(kind));
    assert_int_equal(finding->call, call);
    if (rank >= 0) {
        assert_true(finding->member_count >= 1);
        assert_int_equal(job->set.communicators[finding->communicator].members[finding->members[0]].rank, rank);
    }
    assert_contains(ncr_text_get(&finding->sentence), part);
    end(job);
}

/* ---- faults ---- */

static void a_rank_that_lacks_a_call_is_named(void **state) {
    (void)state;
    struct job job;
    begin(&job, 8);
    make_comm(&job, WORLD, "tp0");
    all_reduce(&job, 41);
    for (unsigned i = 0; i < 8; i++)
        if (i != 3)
            writer_all_reduce(job.ranks[i], 0, 1024);
    expect(
        &job, TRACE_RANK_MISSING, 42, 3,
        text("Rank 3 (node1, pid %d) has not called AllReduce #42 on tp0 (8 ranks); 7 ranks have been waiting for it",
             job.pids[3]));
}

static void who_waits_inside_is_said_to_be_inside(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, NULL);
    all_reduce(&job, 2);
    for (unsigned i = 0; i < 3; i++)
        writer_enter(job.ranks[i], TRACE_ncclBroadcast, 0, 8, FLOAT, TRACE_NO_OPERATOR, 0);
    expect(&job, TRACE_RANK_MISSING, 3, 3, "Broadcast #3 on world (4 ranks); 3 ranks have been waiting in it for 7");
}

static void all_ranks_inside_of_init_wait_for_the_network(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    for (unsigned i = 0; i < 4; i++)
        writer_comm(job.ranks[i], WORLD, 4, (int)i, NULL);
    expect(&job, TRACE_ALL_INSIDE, 0, -1,
           "All ranks of world (4 ranks) have called CommInitRank with the same arguments, the last");
}

static void a_rank_that_never_came_to_init_is_named(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    for (unsigned i = 0; i < 4; i++)
        if (i != 2)
            writer_comm(job.ranks[i], WORLD, 4, (int)i, NULL);
    writer_free(job.ranks[2]);
    job.ranks[2] = NULL;
    const struct trace_finding *finding = judge(&job, true);
    assert_int_equal(finding->kind, TRACE_INIT_MISSING);
    assert_contains(ncr_text_get(&finding->sentence), "Only 3 of 4 ranks have called ncclCommInitRank");
    assert_contains(ncr_text_get(&finding->sentence), "rank 2 has not");
    end(&job);
}

static void a_killed_rank_is_dead(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "dp");
    all_reduce(&job, 5);
    kill(job.pids[1], SIGKILL);
    waitpid(job.pids[1], NULL, 0);
    for (unsigned i = 0; i < 4; i++)
        if (i != 1)
            writer_enter(job.ranks[i], TRACE_ncclAllReduce, 0, 1024, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    expect(&job, TRACE_RANK_DEAD, 6, 1, "has ended without having called AllReduce #6 on dp");
}

static void a_rank_killed_inside_is_dead(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "dp");
    for (unsigned i = 0; i < 4; i++)
        writer_enter(job.ranks[i], TRACE_ncclAllReduce, 0, 1024, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    kill(job.pids[2], SIGKILL);
    waitpid(job.pids[2], NULL, 0);
    expect(&job, TRACE_RANK_DEAD, 0, 2, "is dead");
}

static void a_stopped_rank_is_stopped(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "dp");
    all_reduce(&job, 5);
    kill(job.pids[3], SIGSTOP);
    waitpid(job.pids[3], NULL, WUNTRACED);
    for (unsigned i = 0; i < 3; i++)
        writer_enter(job.ranks[i], TRACE_ncclAllReduce, 0, 1024, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    expect(&job, TRACE_RANK_STOPPED, 6, 3, "is stopped without having called AllReduce #6");
}

static void differ(enum trace_kind kind, unsigned function, uint64_t count, int type, int op, int peer,
                   const char *part) {
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, NULL);
    all_reduce(&job, 3);
    for (unsigned i = 0; i < 4; i++) {
        bool odd = i == 1;
        bool root = kind == TRACE_ROOT_DIFFERS;
        writer_enter(job.ranks[i],
                     odd    ? function
                     : root ? TRACE_ncclReduce
                            : TRACE_ncclAllReduce,
                     0, odd ? count : 64, odd ? type : FLOAT, odd ? op : TRACE_SUM,
                     odd    ? peer
                     : root ? 0
                            : TRACE_NO_PEER);
    }
    expect(&job, kind, 4, 1, part);
}

static void different_arguments_are_told_apart(void **state) {
    (void)state;
    differ(TRACE_COUNT_DIFFERS, TRACE_ncclAllReduce, 63, FLOAT, TRACE_SUM, TRACE_NO_PEER,
           "count 63, float32, sum) on rank 1");
    differ(TRACE_TYPE_DIFFERS, TRACE_ncclAllReduce, 64, 9, TRACE_SUM, TRACE_NO_PEER, "bfloat16");
    differ(TRACE_OPERATOR_DIFFERS, TRACE_ncclAllReduce, 64, FLOAT, TRACE_MAX, TRACE_NO_PEER, "max) on rank 1");
    differ(TRACE_ROOT_DIFFERS, TRACE_ncclReduce, 64, FLOAT, TRACE_SUM, 2, "root 2) on rank 1");
    differ(TRACE_FUNCTION_DIFFERS, TRACE_ncclReduceScatter, 64, FLOAT, TRACE_SUM, TRACE_NO_PEER,
           "disagree on call #4: ReduceScatter (count 64, float32, sum) on rank 1");
}

static void a_skipped_call_is_recognised(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, NULL);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 6; k++)
            if (i != 2 || k != 3)
                writer_all_reduce(job.ranks[i], 0, 100 + k);
    const struct trace_finding *finding = judge(&job, true);
    assert_int_equal(finding->kind, TRACE_COUNT_DIFFERS);
    assert_int_equal(finding->call, 4);
    assert_contains(ncr_text_get(&finding->sentence), "it seems to have skipped AllReduce #4");
    end(&job);
}

static void a_send_without_receive(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "pp");
    writer_send(job.ranks[0], 0, 77, 1);
    writer_receive(job.ranks[1], 0, 77, 0);
    writer_enter(job.ranks[0], TRACE_ncclSend, 0, 78, FLOAT, TRACE_NO_OPERATOR, 1);
    expect(&job, TRACE_SEND_WITHOUT_RECEIVE, 2, 1, "has not called Recv #2 from rank 0 on pp (4 ranks); rank 0");
}

static void a_receive_without_send(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "pp");
    writer_enter(job.ranks[3], TRACE_ncclRecv, 0, 78, FLOAT, TRACE_NO_OPERATOR, 2);
    expect(&job, TRACE_RECEIVE_WITHOUT_SEND, 1, 2, "has not called Send #1 to rank 3 on pp");
}

static void two_sizes_of_one_message(void **state) {
    (void)state;
    struct job job;
    begin(&job, 2);
    make_comm(&job, WORLD, "pp");
    writer_send(job.ranks[0], 0, 77, 1);
    writer_receive(job.ranks[1], 0, 70, 0);
    expect(&job, TRACE_MESSAGE_DIFFERS, 1, 1, "rank 0 (node1");
}

/* Rank 1 sends to 3 what 2 waits for; 3 goes on to a barrier that needs the others. */
static void a_wrong_peer_is_named(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "pp");
    writer_enter(job.ranks[1], TRACE_ncclSend, 0, 64, FLOAT, TRACE_NO_OPERATOR, 3);
    writer_enter(job.ranks[2], TRACE_ncclRecv, 0, 64, FLOAT, TRACE_NO_OPERATOR, 1);
    writer_enter(job.ranks[0], TRACE_ncclAllReduce, 0, 1, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    writer_enter(job.ranks[3], TRACE_ncclAllReduce, 0, 1, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    expect(&job, TRACE_WRONG_PEER, 1, 1, "sends to rank 3, which does not receive from it, while rank 2 waits");
}

static void a_group_left_open(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, NULL);
    all_reduce(&job, 9);
    for (unsigned i = 0; i < 4; i++) {
        writer_group_start(job.ranks[i]);
        writer_all_reduce(job.ranks[i], 0, 5);
        if (i != 2)
            writer_enter(job.ranks[i], TRACE_ncclGroupEnd, TRACE_NO_COMM, 0, TRACE_NO_TYPE, TRACE_NO_OPERATOR,
                         TRACE_NO_PEER);
    }
    expect(&job, TRACE_GROUP_OPEN, 10, 2, "in a group that is still open");
}

/* Rank 0: a then b; rank 1: b then a. Each is inside of its first. */
static void two_communicators_in_two_orders(void **state) {
    (void)state;
    struct job job;
    begin(&job, 2);
    make_comm(&job, 1, "a");
    make_comm(&job, 2, "b");
    writer_enter(job.ranks[0], TRACE_ncclAllReduce, 0, 8, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    writer_enter(job.ranks[1], TRACE_ncclAllReduce, 1, 8, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    expect(&job, TRACE_ORDER_DIFFERS, 1, -1, "cycle of 2");
}

/* As it is with GPUs: the calls have returned, the streams hang. */
static void two_orders_on_streams(void **state) {
    (void)state;
    struct job job;
    begin(&job, 2);
    make_comm(&job, 1, "a");
    make_comm(&job, 2, "b");
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < 5; k++)
            writer_all_reduce(job.ranks[i], k % 2, 8);
    writer_all_reduce(job.ranks[0], 0, 8);
    writer_all_reduce(job.ranks[0], 1, 8);
    writer_all_reduce(job.ranks[1], 1, 8);
    writer_all_reduce(job.ranks[1], 0, 8);
    expect(&job, TRACE_ORDER_DIFFERS, 4, -1, "on a before");
}

static void two_orders_on_two_streams_or_in_one_group_are_fine(void **state) {
    (void)state;
    for (unsigned grouped = 0; grouped < 2; grouped++) {
        struct job job;
        begin(&job, 2);
        make_comm(&job, 1, "a");
        make_comm(&job, 2, "b");
        for (unsigned i = 0; i < 2; i++) {
            if (grouped)
                writer_group_start(job.ranks[i]);
            for (unsigned k = 0; k < 2; k++) {
                job.ranks[i]->stream = grouped ? 5 : 5 + (k ^ i);
                writer_all_reduce(job.ranks[i], k ^ i, 8);
            }
            if (grouped)
                writer_group_end(job.ranks[i]);
        }
        assert_int_equal(judge(&job, true)->kind, TRACE_NOTHING_WRONG);
        end(&job);
    }
}

/* 0 waits for 1 on a, 1 for 2 on b, 2 for 0 on c. */
static void a_cycle_of_three(void **state) {
    (void)state;
    struct job job;
    begin(&job, 3);
    for (unsigned k = 0; k < 3; k++)
        for (unsigned i = 0; i < 2; i++) {
            unsigned rank = (k + i) % 3, comm = writer_comm(job.ranks[rank], 10 + k, 2, (int)i, text("ring%u", k));
            writer_made(job.ranks[rank], comm);
        }
    writer_enter(job.ranks[0], TRACE_ncclAllReduce, 0, 8, FLOAT, TRACE_SUM, TRACE_NO_PEER); /* ring0: 0 and 1 */
    writer_enter(job.ranks[1], TRACE_ncclAllReduce, 1, 8, FLOAT, TRACE_SUM, TRACE_NO_PEER); /* ring1: 1 and 2 */
    writer_enter(job.ranks[2], TRACE_ncclAllReduce, job.ranks[2]->comms[0].identity == 12 ? 0 : 1, 8, FLOAT, TRACE_SUM,
                 TRACE_NO_PEER);
    expect(&job, TRACE_ORDER_DIFFERS, 1, -1, "cycle of 3");
}

/* 1 waits in dp for 3; 0 and 2 wait in tp for 1. The cause is 3. */
static void the_cause_is_told_from_its_consequences(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "tp");
    make_comm(&job, 2, "dp");
    all_reduce(&job, 3);
    writer_enter(job.ranks[1], TRACE_ncclReduceScatter, 1, 8, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    writer_enter(job.ranks[0], TRACE_ncclAllReduce, 0, 8, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    writer_all_reduce(job.ranks[2], 1, 8);
    job.ranks[2]->ring[job.ranks[2]->at[0] - 1].function = TRACE_ncclReduceScatter;
    writer_all_reduce(job.ranks[0], 1, 8); /* not reached while inside: a second thread's */
    job.ranks[0]->ring[job.ranks[0]->at[0] - 1].function = TRACE_ncclReduceScatter;
    const struct trace_finding *finding = judge(&job, true);
    assert_int_equal(finding->kind, TRACE_RANK_MISSING);
    assert_contains(ncr_text_get(&finding->sentence), "Rank 3");
    end(&job);
}

static void different_libraries_are_told(void **state) {
    (void)state;
    struct job job;
    begin(&job, 3);
    strcpy(job.ranks[2]->libraries[0].path, "/usr/lib/libnccl.so.2");
    job.ranks[2]->libraries[0].version = 22105;
    for (unsigned i = 0; i < 3; i++)
        writer_comm(job.ranks[i], WORLD, 3, (int)i, NULL);
    const struct trace_finding *finding = judge(&job, true);
    bool found = false;
    for (unsigned i = 0; i < job.findings.count; i++)
        found |= job.findings.list[i].kind == TRACE_LIBRARIES_DIFFER;
    assert_true(found);
    (void)finding;
    end(&job);
}

static void all_inside_is_not_the_program(void **state) {
    (void)state;
    struct job job;
    begin(&job, 4);
    make_comm(&job, WORLD, "dp");
    all_reduce(&job, 3);
    for (unsigned i = 0; i < 4; i++)
        writer_enter(job.ranks[i], TRACE_ncclAllReduce, 0, 8, FLOAT, TRACE_SUM, TRACE_NO_PEER);
    expect(&job, TRACE_ALL_INSIDE, 4, -1, "not the program");
}

static void a_failed_call_is_told(void **state) {
    (void)state;
    struct job job;
    begin(&job, 2);
    make_comm(&job, WORLD, "dp");
    for (unsigned i = 0; i < 2; i++) {
        writer_enter(job.ranks[i], TRACE_ncclAllReduce, 0, 8, FLOAT, TRACE_SUM, TRACE_NO_PEER);
        writer_leave(job.ranks[i], i == 1 ? 4 : 0);
    }
    expect(&job, TRACE_CALL_FAILED, 1, 1, "got ncclInvalidArgument from AllReduce #1");
}

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
        cmocka_unit_test(a_rank_that_lacks_a_call_is_named),
        cmocka_unit_test(who_waits_inside_is_said_to_be_inside),
        cmocka_unit_test(all_ranks_inside_of_init_wait_for_the_network),
        cmocka_unit_test(a_rank_that_never_came_to_init_is_named),
        cmocka_unit_test(a_killed_rank_is_dead),
        cmocka_unit_test(a_rank_killed_inside_is_dead),
        cmocka_unit_test(a_stopped_rank_is_stopped),
        cmocka_unit_test(different_arguments_are_told_apart),
        cmocka_unit_test(a_skipped_call_is_recognised),
        cmocka_unit_test(a_send_without_receive),
        cmocka_unit_test(a_receive_without_send),
        cmocka_unit_test(two_sizes_of_one_message),
        cmocka_unit_test(a_wrong_peer_is_named),
        cmocka_unit_test(a_group_left_open),
        cmocka_unit_test(two_communicators_in_two_orders),
        cmocka_unit_test(two_orders_on_streams),
        cmocka_unit_test(two_orders_on_two_streams_or_in_one_group_are_fine),
        cmocka_unit_test(a_cycle_of_three),
        cmocka_unit_test(the_cause_is_told_from_its_consequences),
        cmocka_unit_test(different_libraries_are_told),
        cmocka_unit_test(all_inside_is_not_the_program),
        cmocka_unit_test(a_failed_call_is_told),
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
