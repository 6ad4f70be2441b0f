/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fault in a real job over host memory, and what `nccl-redirect hang` says while it hangs: the rank, the call and its
 * number, within two seconds.
 */
#include "support.h"

#include "trace.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct job {
    int pid;
    const char *folder;
};

static void sleep_ms(unsigned ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void start(struct job *job, const char *const *words) {
    job->folder = fresh_folder();
    job->pid = fork();
    if (job->pid == 0) {
        int out = open("/dev/null", O_WRONLY);
        dup2(out, 1);
        dup2(out, 2);
        setsid();
        setenv("LD_PRELOAD", text("%s:%s", shim(), library("capture_driver")), 1);
        setenv("NCCL_REDIRECT", hostmem("plain"), 1);
        setenv("B", hostmem("old"), 1);
        setenv("NCCL_REDIRECT_TRACE", job->folder, 1);
        execv(program("linked_job"), (char *const *)words);
        _exit(127);
    }
}

/* Until nothing has moved for a while, as it is when somebody gets up at three. */
static void wait_for_hang(const struct job *job) {
    uint64_t last = 0;
    unsigned still = 0;
    for (double end = now() + 20; still < 4 && now() < end; sleep_ms(100)) {
        struct trace_set set = {0};
        uint64_t sum = 1;
        trace_set_add(&set, job->folder);
        for (unsigned i = 0; i < set.count; i++)
            sum = sum * 31 + trace_progress_of(set.files[i]);
        still = sum == last && set.count > 1 ? still + 1 : 0;
        last = sum;
        trace_set_close(&set);
    }
}

/* The parent of the ranks ends them and cleans up: it is asked by a signal that ends its waiting. */
static void stop(const struct job *job) {
    kill(job->pid, SIGTERM);
    for (unsigned i = 0; i < 100 && waitpid(job->pid, NULL, WNOHANG) == 0; i++)
        sleep_ms(20);
    kill(-job->pid, SIGKILL);
    kill(-job->pid, SIGCONT);
    while (waitpid(job->pid, NULL, 0) > 0)
        ;
}

/* Starts the job, lets it hang, asks; `parts` must be in the answer. */
static void ask(const char *const *words, const char *kind, const char *const *parts) {
    struct job job;
    start(&job, words);
    wait_for_hang(&job);
    double begin = now();
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(built("nccl-redirect"), "hang", job.folder));
    double seconds = now() - begin;
    print_message("    %.*s\n", (int)strcspn(result.out, "\n"), result.out);
    stop(&job);
    assert_contains(result.out, text("%s: ", kind));
    for (; *parts; parts++)
        assert_contains(result.out, *parts);
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 1);
    assert_true(seconds < 2);
    result_free(&result);
}

#define JOB(ranks, ...) ((const char *const[]){"linked_job", ranks, __VA_ARGS__, NULL})
#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void a_rank_that_skips_a_call(void **state) {
    (void)state;
    ask(JOB("8", "all=init,ar:0:100*41", "0-2=ar:0:100", "4-7=ar:0:100", "3=sleep:30000"), "missing-rank",
        PARTS("Rank 3 (", "has not called AllReduce #42 on world (8 ranks)", "7 ranks have been waiting in it",
              "alive and outside of NCCL"));
}

static void a_rank_that_never_comes_to_init(void **state) {
    (void)state;
    ask(JOB("4", "0-2=init", "3=sleep:30000"), "init-missing", PARTS("Only 3 of 4 ranks", "rank 3 has not"));
}

static void a_rank_that_is_killed(void **state) {
    (void)state;
    ask(JOB("4", "all=init,ar:0:10*5", "2=kill", "all=ar:0:10"), "rank-dead",
        PARTS("Rank 2 (", "without having called AllReduce #6", "killed"));
}

static void a_rank_that_exits(void **state) {
    (void)state;
    ask(JOB("4", "all=init,ar:0:10*5", "2=exit", "all=ar:0:10"), "rank-dead", PARTS("Rank 2 (", "it has exited"));
}

static void a_rank_that_crashes(void **state) {
    (void)state;
    ask(JOB("4", "all=init,ar:0:10*5", "1=segv", "all=ar:0:10"), "rank-dead", PARTS("Rank 1 (", "AllReduce #6"));
}

static void a_rank_that_is_stopped(void **state) {
    (void)state;
    ask(JOB("4", "all=init,ar:0:10*5", "0=stop", "all=ar:0:10"), "rank-stopped", PARTS("Rank 0 (", "stopped"));
}

static void counts_that_differ(void **state) {
    (void)state;
    ask(JOB("4", "all=init,ar:0:100*3", "0-1=ar:0:100000", "2=ar:0:99999", "3=ar:0:100000", "all=sleep:20000"),
        "count-mismatch", PARTS("call #4", "count 99999, float32, sum) on rank 2 ("));
}

static void types_that_differ(void **state) {
    (void)state;
    ask(JOB("4", "all=init", "0-2=ar:0:100", "3=ard:0:100", "all=sleep:20000"), "type-mismatch",
        PARTS("float64, sum) on rank 3 ("));
}

static void operators_that_differ(void **state) {
    (void)state;
    ask(JOB("4", "all=init", "0=mx:0:100", "1-3=ar:0:100", "all=sleep:20000"), "operator-mismatch",
        PARTS("max) on rank 0 ("));
}

static void roots_that_differ(void **state) {
    (void)state;
    ask(JOB("4", "all=init,ar:0:5", "0-2=bc:0:100:0", "3=bc:0:100:1", "all=sleep:20000"), "root-mismatch",
        PARTS("call #2", "root 1) on rank 3 ("));
}

static void functions_that_differ(void **state) {
    (void)state;
    ask(JOB("5", "all=init,ar:0:5", "0-2=ar:0:100", "3=rs:0:100", "4=ar:0:100", "all=sleep:20000"),
        "collective-mismatch", PARTS("call #2", "ReduceScatter (count 100, float32, sum) on rank 3 ("));
}

static void a_send_without_a_receive(void **state) {
    (void)state;
    ask(JOB("4", "all=init", "0=s:0:900000:2", "1-3=sleep:30000"), "unmatched-send",
        PARTS("Rank 2 (", "has not called Recv #1 from rank 0"));
}

static void a_receive_without_a_send(void **state) {
    (void)state;
    ask(JOB("4", "all=init", "3=r:0:64:1", "0-2=sleep:30000"), "unmatched-receive",
        PARTS("Rank 1 (", "has not called Send #1 to rank 3"));
}

static void a_send_to_the_wrong_rank(void **state) {
    (void)state;
    ask(JOB("4", "all=init", "1=s:0:64:3", "2=r:0:64:1", "all=ar:0:4"), "wrong-peer",
        PARTS("Rank 1 (", "sends to rank 3", "rank 2 waits to receive from it"));
}

static void a_group_that_is_left_open(void **state) {
    (void)state;
    ask(JOB("4", "all=init,ar:0:5,gs,ar:0:6", "0-1=ge", "2=sleep:30000", "3=ge"), "open-group",
        PARTS("Rank 2 (", "AllReduce #2", "ncclGroupEnd"));
}

static void two_communicators_in_two_orders(void **state) {
    (void)state;
    ask(JOB("2", "all=init,split:0:1", "0=ar:0:9,ar:1:9", "1=ar:1:9,ar:0:9"), "order-mismatch", PARTS("cycle of 2"));
}

static void a_cycle_of_three(void **state) {
    (void)state;
    ask(JOB("3", "0=pair:0:1,pair:0:2", "1=pair:0:1,pair:1:2", "2=pair:0:2,pair:1:2", "0=ar:0:9", "1=ar:1:9",
            "2=ar:0:9"),
        "order-mismatch", PARTS("cycle of 3"));
}

/* 3 sleeps; 1 waits for it in a pair; the others wait for 1 and 3. */
static void the_cause_behind_its_consequences(void **state) {
    (void)state;
    ask(JOB("4", "all=init", "1=pair:1:3", "3=pair:1:3,sleep:30000", "1=ar:1:9", "all=ar:0:9"), "missing-rank",
        PARTS("Rank 3 ("));
}

/* The rank that is missing has never called with the communicator: its handle, and rank, were never told. */
static void a_communicator_whose_handle_came_later(void **state) {
    (void)state;
    ask(JOB("4", "all=nbinit,vsplit:0:1,vsplit:0:1", "0-2=ar:1:10", "3=sleep:30000", "all=sleep:30000"), "missing-rank",
        PARTS("Rank 3 (", "has not called AllReduce #1 on", "(4 ranks)", "3 ranks"));
}

/* ---- captured calls; a driver that takes odd streams for captured ones (tests/libraries/capture_driver.c) ---- */

static void a_rank_that_skips_a_captured_call(void **state) {
    (void)state;
    ask(JOB("4", "all=init,ar:0:10*3,on:1,ar:0:10*2", "0-1=ar:0:9", "2=sleep:30000", "3=ar:0:9"), "missing-rank",
        PARTS("Rank 2 (", "has not called AllReduce #6 on world", "certainty     likely",
              "the call was captured into a CUDA graph"));
}

/* One rank captures what the others call outside of a graph: the arguments are what counts. */
static void a_captured_count_that_differs(void **state) {
    (void)state;
    ask(JOB("4", "all=init", "1=on:3", "0=ar:0:64000", "1=ar:0:63999", "2-3=ar:0:64000", "all=sleep:20000"),
        "count-mismatch", PARTS("call #1", "count 63999, float32, sum) on rank 1 (", "certainty     likely"));
}

/* ---- two NCCLs in each process: the second communicator is of another ---- */

static void a_rank_that_skips_a_call_of_the_second_nccl(void **state) {
    (void)state;
    ask(JOB("4", "all=init,use,other,ar:0:10*5,ar:1:10*3", "0=ar:1:7", "1=sleep:30000", "2-3=ar:1:7"), "missing-rank",
        PARTS("Rank 1 (", "has not called AllReduce #4 on", "3 ranks have been waiting in it"));
}

static void two_nccls_in_two_orders(void **state) {
    (void)state;
    ask(JOB("2", "all=init,use,other,ar:0:9,ar:1:9", "0=ar:0:9,ar:1:9", "1=ar:1:9,ar:0:9"), "order-mismatch",
        PARTS("cycle of 2", "AllReduce #2 on"));
}

static void ranks_that_chose_different_nccls(void **state) {
    (void)state;
    ask(JOB("2", "all=init", "1=use", "all=split:0:1,other,sleep:30000"), "call-failed", PARTS("CommInitRank"));
}

static void two_nccls_and_a_capture_and_a_death(void **state) {
    (void)state;
    ask(JOB("4", "all=init,use,other,ar:0:10,on:1,ar:1:10*2,on:0", "3=kill", "0-1=ar:1:8", "2=ar:0:8"), "rank-dead",
        PARTS("Rank 3 (", "killed"));
}

/* ---- many ---- */

static void a_job_of_sixteen(void **state) {
    (void)state;
    ask(JOB("16", "all=init,ar:0:100*20,split:0:1", "0-12=ar:1:7", "13=sleep:30000", "14-15=ar:1:7"), "missing-rank",
        PARTS("Rank 13 (", "AllReduce #1 on", "(16 ranks)", "15 ranks"));
}

/* ---- no fault ---- */

static void a_job_that_works_is_fine(void **state) {
    (void)state;
    struct job job;
    start(&job, JOB("4", "all=init,ar:0:100*10,split:0:1,bc:1:5:0*3,destroy:1,destroy:0"));
    waitpid(job.pid, NULL, 0);
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(built("nccl-redirect"), "hang", job.folder));
    assert_contains(result.out, "Nothing wrong found");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void a_job_that_moves_is_fine(void **state) {
    (void)state;
    struct job job;
    start(&job, JOB("3", "all=init,ar:0:100*1000000"));
    sleep_ms(500);
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(built("nccl-redirect"), "hang", job.folder));
    stop(&job);
    assert_contains(result.out, "makes progress");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* ---- run --watch ---- */

static struct result watch(const char *const *words) {
    const char *command[32] = {built("nccl-redirect"), "run", "--no-check", text("--trace=%s", fresh_folder()),
                               "--watch=0.5",          "--"};
    unsigned count = 6;
    for (; *words; words++)
        command[count++] = *words;
    return run(WITHOUT_SHIM, ENV(text("NCCL_REDIRECT=%s", hostmem("plain"))), command);
}

static void a_watched_job_that_hangs_is_told_once(void **state) {
    (void)state;
    struct result result =
        watch(PARTS(program("linked_job"), "3", "ms=4000", "all=init,ar:0:10*5", "1=sleep:30000", "all=ar:0:10"));
    const char *first = strstr(result.err, "Rank 1 (");
    assert_non_null(first);
    assert_contains(first, "has not called AllReduce #6 on world (3 ranks)");
    assert_null(strstr(first + 1, "Rank 1 ("));
    assert_int_equal(result.status, 3); /* the command's own */
    result_free(&result);
}

static void a_watched_job_that_works_is_left_alone(void **state) {
    (void)state;
    struct result result = watch(PARTS(program("linked_job"), "3", "all=init,ar:0:10*5,sleep:1500,ar:0:10"));
    assert_string_equal(result.err, "");
    assert_contains(result.out, "rank 2 done");
    assert_int_equal(result.status, 0);
    result_free(&result);
    result = watch(PARTS("sh", "-c", "kill -KILL $$"));
    assert_int_equal(result.status, 137);
    result_free(&result);
}

static void without_a_trace_it_says_how_to_get_one(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(built("nccl-redirect"), "hang", fresh_folder()));
    assert_int_equal(result.status, 3);
    assert_contains(result.err, "no trace in what was named");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_skips_a_call),
        cmocka_unit_test(a_rank_that_never_comes_to_init),
        cmocka_unit_test(a_rank_that_is_killed),
        cmocka_unit_test(a_rank_that_exits),
        cmocka_unit_test(a_rank_that_crashes),
        cmocka_unit_test(a_rank_that_is_stopped),
        cmocka_unit_test(counts_that_differ),
        cmocka_unit_test(types_that_differ),
        cmocka_unit_test(operators_that_differ),
        cmocka_unit_test(roots_that_differ),
        cmocka_unit_test(functions_that_differ),
        cmocka_unit_test(a_send_without_a_receive),
        cmocka_unit_test(a_receive_without_a_send),
        cmocka_unit_test(a_send_to_the_wrong_rank),
        cmocka_unit_test(a_group_that_is_left_open),
        cmocka_unit_test(two_communicators_in_two_orders),
        cmocka_unit_test(a_cycle_of_three),
        cmocka_unit_test(the_cause_behind_its_consequences),
        cmocka_unit_test(a_communicator_whose_handle_came_later),
        cmocka_unit_test(a_rank_that_skips_a_captured_call),
        cmocka_unit_test(a_captured_count_that_differs),
        cmocka_unit_test(a_rank_that_skips_a_call_of_the_second_nccl),
        cmocka_unit_test(two_nccls_in_two_orders),
        cmocka_unit_test(ranks_that_chose_different_nccls),
        cmocka_unit_test(two_nccls_and_a_capture_and_a_death),
        cmocka_unit_test(a_job_of_sixteen),
        cmocka_unit_test(a_job_that_works_is_fine),
        cmocka_unit_test(a_job_that_moves_is_fine),
        cmocka_unit_test(without_a_trace_it_says_how_to_get_one),
        cmocka_unit_test(a_watched_job_that_hangs_is_told_once),
        cmocka_unit_test(a_watched_job_that_works_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
