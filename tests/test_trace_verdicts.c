/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reader concludes from traces made by hand: one fault injected into a job of several ranks, and the rank, the
 * call and its number must be named.
 */
#include "trace_job.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
