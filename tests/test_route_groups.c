/* SPDX-License-Identifier: Apache-2.0 */
/* Groups across two NCCLs in one process. */
#include "owned.h"

#define A_AND_B "all:a use:$B all:b use "
#define MADE "22809 CommInitAll; all:a=0; use:$B=0; 23203 CommInitAll; all:b=0; use=0; "

static void a_library_is_in_the_group_from_its_first_call(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "start reduce:b reduce:b end start end start reduce:a reduce:b end",
                      MADE "start=0; 23203 GroupStart; 23203 AllReduce; reduce:b=0; 23203 AllReduce; reduce:b=0; "
                           "23203 GroupEnd; end=0; start=0; end=0; start=0; 22809 GroupStart; 22809 AllReduce; "
                           "reduce:a=0; "
                           "23203 GroupStart; 23203 AllReduce; reduce:b=0; 22809 GroupEnd; 23203 GroupEnd; end=0");
}

/* What is made of one communicator is a call for its library too. */
static void also_when_it_grows(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "start grow:b,c split:a,d end",
                      MADE "start=0; 23203 GroupStart; 23203 CommGrow; grow:b,c=0; 22809 GroupStart; 22809 CommSplit; "
                           "split:a,d=0; 22809 GroupEnd; 23203 GroupEnd; end=0");
}

static void the_depth_is_kept_once(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "start start reduce:a end start reduce:b end end",
                      MADE "start=0; start=0; 22809 GroupStart; 22809 AllReduce; reduce:a=0; end=0; start=0; "
                           "23203 GroupStart; 23203 AllReduce; reduce:b=0; end=0; 22809 GroupEnd; 23203 "
                           "GroupEnd; end=0");
}

/* By version, then by file: neither the order of calls nor who is the default changes it. */
static void the_order_of_ends_is_the_same_everywhere(void **state) {
    (void)state;
    const char *other_default = text("NCCL_REDIRECT=%s", owned("23203"));
    assert_transcript(NO_ENV, A_AND_B "start reduce:b reduce:a end",
                      MADE "start=0; 23203 GroupStart; 23203 AllReduce; reduce:b=0; 22809 "
                           "GroupStart; 22809 AllReduce; "
                           "reduce:a=0; 22809 GroupEnd; 23203 GroupEnd; end=0");
    assert_transcript(ENV(other_default), "all:b use:$A all:a start reduce:b reduce:a end",
                      "23203 CommInitAll; all:b=0; use:$A=0; 22809 CommInitAll; all:a=0; start=0; "
                      "23203 GroupStart; "
                      "23203 AllReduce; reduce:b=0; 22809 GroupStart; 22809 AllReduce; reduce:a=0; "
                      "22809 GroupEnd; "
                      "23203 GroupEnd; end=0");
    /* Two of one version. */
    const char *second_default = text("NCCL_REDIRECT=%s", owned("22809d"));
    const char *ends = "start=0; 22809d GroupStart; 22809d AllReduce; reduce:d=0; 22809 "
                       "GroupStart; 22809 AllReduce; "
                       "reduce:a=0; 22809 GroupEnd; 22809d GroupEnd; end=0";
    assert_transcript(NO_ENV, "all:a use:$D all:d start reduce:d reduce:a end",
                      text("22809 CommInitAll; all:a=0; use:$D=0; 22809d CommInitAll; all:d=0; %s", ends));
    assert_transcript(ENV(second_default), "all:d use:$A all:a start reduce:d reduce:a end",
                      text("22809d CommInitAll; all:d=0; use:$A=0; 22809 CommInitAll; all:a=0; %s", ends));
}

static void an_error_of_one_keeps_the_other_from_launching(void **state) {
    (void)state;
    /* The poison is an invalid call, which NCCL notes for the group. */
    assert_transcript(ENV("OWNED_22809_GroupEnd=3"), A_AND_B "start reduce:a reduce:b end last",
                      MADE "start=0; 22809 GroupStart; 22809 AllReduce; reduce:a=0; 23203 GroupStart; 23203 "
                           "AllReduce; "
                           "reduce:b=0; 22809 GroupEnd; 22809 launches nothing; 23203 AllReduce; 23203 GroupEnd; "
                           "23203 launches nothing; end=3; last=22809: GroupEnd failed; last=0");
    /* The second one's error is the result, and the one that is asked for. */
    assert_transcript(ENV("OWNED_23203_GroupEnd=2"), A_AND_B "start reduce:a reduce:b end last",
                      MADE "start=0; 22809 GroupStart; 22809 AllReduce; reduce:a=0; 23203 GroupStart; "
                           "23203 AllReduce; "
                           "reduce:b=0; 22809 GroupEnd; 23203 GroupEnd; 23203 launches nothing; end=2; "
                           "last=23203: GroupEnd failed; last=0");
    /* The next group is clean. */
    assert_transcript(ENV("OWNED_22809_Bcast=1", "OWNED_22809_CommCount=3"),
                      A_AND_B "start count:a reduce:b end start reduce:a reduce:b end",
                      MADE "start=0; 22809 GroupStart; 22809 CommCount; count:a=3; 23203 GroupStart; 23203 AllReduce; "
                           "reduce:b=0; 22809 GroupEnd; 22809 launches nothing; 23203 AllReduce; 23203 GroupEnd; "
                           "23203 launches nothing; end=3; start=0; 22809 GroupStart; 22809 AllReduce; reduce:a=0; "
                           "23203 GroupStart; 23203 AllReduce; reduce:b=0; 22809 GroupEnd; 23203 GroupEnd; end=0");
}

static void an_error_counts_more_than_in_progress(void **state) {
    (void)state;
    const char *both = "start=0; 22809 GroupStart; 22809 AllReduce; reduce:a=0; 23203 GroupStart; "
                       "23203 AllReduce; reduce:b=0; ";
    assert_transcript(ENV("OWNED_22809_GroupEnd=7"), A_AND_B "start reduce:a reduce:b end",
                      text(MADE "%s22809 GroupEnd; 23203 GroupEnd; end=7", both));
    assert_transcript(ENV("OWNED_22809_GroupEnd=7", "OWNED_23203_GroupEnd=3"), A_AND_B "start reduce:a reduce:b end",
                      text(MADE "%s22809 GroupEnd; 23203 GroupEnd; 23203 launches nothing; end=3", both));
    assert_transcript(ENV("OWNED_22809_GroupEnd=0", "OWNED_23203_GroupEnd=7"), A_AND_B "start reduce:a reduce:b end",
                      text(MADE "%s22809 GroupEnd; 23203 GroupEnd; end=7", both));
}

/* An id of the other library: refused in the shim, so no library knows, and yet none launches its part. */
static void a_refused_call_spoils_the_whole_group(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "use:$B id use start reduce:a reduce:b init:c end",
                      MADE "use:$B=0; 23203 GetUniqueId; id=0; use=0; start=0; 22809 GroupStart; 22809 AllReduce; "
                           "reduce:a=0; 23203 GroupStart; 23203 AllReduce; reduce:b=0; 22809 AllReduce; init:c=5; "
                           "22809 AllReduce; 22809 GroupEnd; 22809 launches nothing; 23203 AllReduce; 23203 GroupEnd; "
                           "23203 launches nothing; end=4");
}

static void an_end_without_a_start_reaches_no_library(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "end last start reduce:b end end simulate",
                      MADE "end=5; last=ncclGroupEnd: no group is open in this thread; "
                           "a group must not contain nccl_redirect_use(); "
                           "last=0; start=0; 23203 GroupStart; 23203 AllReduce; reduce:b=0; 23203 "
                           "GroupEnd; end=0; end=5; "
                           "estimate=-1; simulate=5");
}

/* Its library was the only one when it began, and another thread opened the second. */
static void a_group_that_is_older_ends_where_it_began(void **state) {
    (void)state;
    assert_transcript(NO_ENV, "all:a @start use:$B all:b @reduce:a @end @start @reduce:b @end @end @end",
                      "22809 CommInitAll; all:a=0; 22809 GroupStart; start=0; use:$B=0; 23203 "
                      "CommInitAll; all:b=0; "
                      "22809 AllReduce; reduce:a=0; 22809 GroupEnd; end=0; start=0; 23203 "
                      "GroupStart; 23203 AllReduce; "
                      "reduce:b=0; 23203 GroupEnd; end=0; "
                      /* Once such a thread may be wrong about itself; that library tells it. */
                      "22809 GroupEnd; end=5; end=5");
    /* And a nested one, whose inner part is new. */
    assert_transcript(NO_ENV, "all:a @start use:$B all:b @start @reduce:a @end @end",
                      "22809 CommInitAll; all:a=0; 22809 GroupStart; start=0; use:$B=0; 23203 "
                      "CommInitAll; all:b=0; "
                      "start=0; 22809 GroupStart; 22809 AllReduce; reduce:a=0; 22809 GroupEnd; "
                      "end=0; 22809 GroupEnd; end=0");
}

static void a_choice_in_a_group_is_refused(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "start use:$B last end use:$B version",
                      MADE "start=0; use:$B=5; last=nccl_redirect_use: not allowed between "
                           "ncclGroupStart and ncclGroupEnd; "
                           "last=0; end=0; use:$B=0; version=23203");
}

static void a_simulated_end_closes_the_group(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "start reduce:b reduce:a start simulate simulate reduce:a",
                      MADE "start=0; 23203 GroupStart; 23203 AllReduce; reduce:b=0; 22809 "
                           "GroupStart; 22809 AllReduce; "
                           "reduce:a=0; start=0; estimate=-1; simulate=0; 22809 GroupSimulateEnd; "
                           "23203 GroupSimulateEnd; "
                           "estimate=9; simulate=0; 22809 AllReduce; reduce:a=0");
}

/* GroupSimulateEnd came with 2.22. */
static void also_in_a_library_that_cannot_simulate(void **state) {
    (void)state;
    const char *old = text("OLD=%s", hostmem("old"));
    struct result result = owned_run(ENV(old), "all:a use:$OLD all:o use start reduce:a reduce:o simulate last end");
    assert_contains(result.out, "reduce:o=0\n22809 GroupSimulateEnd\nestimate=9\nsimulate=5\nlast=ncclGroupSimulateEnd "
                                "needs NCCL");
    assert_contains(result.out, "last=0\nend=5\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_library_is_in_the_group_from_its_first_call),
        cmocka_unit_test(also_when_it_grows),
        cmocka_unit_test(the_depth_is_kept_once),
        cmocka_unit_test(the_order_of_ends_is_the_same_everywhere),
        cmocka_unit_test(an_error_of_one_keeps_the_other_from_launching),
        cmocka_unit_test(an_error_counts_more_than_in_progress),
        cmocka_unit_test(a_refused_call_spoils_the_whole_group),
        cmocka_unit_test(an_end_without_a_start_reaches_no_library),
        cmocka_unit_test(a_group_that_is_older_ends_where_it_began),
        cmocka_unit_test(a_choice_in_a_group_is_refused),
        cmocka_unit_test(a_simulated_end_closes_the_group),
        cmocka_unit_test(also_in_a_library_that_cannot_simulate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
