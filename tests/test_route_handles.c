/* SPDX-License-Identifier: Apache-2.0 */
/* Two NCCLs in one process: what takes a communicator, window or memory goes to the library that made it. */
#include "owned.h"

#include "loader.h"

#include <stdlib.h>
#include <string.h>

#define A_AND_B "all:a use:$B all:b use "
#define MADE "22809 CommInitAll; all:a=0; use:$B=0; 23203 CommInitAll; all:b=0; use=0; "

static void calls_go_to_the_maker(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "count:a count:b", MADE "22809 CommCount; count:a=0; 23203 CommCount; count:b=0");
    /* From another thread too, as a watchdog calls. */
    assert_transcript(NO_ENV, A_AND_B "@count:b @count:a",
                      MADE "23203 CommCount; count:b=0; 22809 CommCount; count:a=0");
}

/* Every function of the table that takes a communicator, wherever among the arguments it is, by both names. */
static void every_row_finds_its_communicator(void **state) {
    (void)state;
    struct result result = owned_run(NO_ENV, A_AND_B "rows:a rows:b");
    unsigned first = 0, second = 0, expected = 0;
    for (unsigned i = 0; i < NCR_ROWS; i++)
        expected += ncr_functions[i].route < NCR_WINDOW && !ncr_functions[i].rccl ? 1 + ncr_functions[i].alias : 0;
    assert_lacks(result.out, "FOREIGN");
    for (const char *line = strstr(result.out, "use=0\n") + 6; *line; line = strchr(line, '\n') + 1) {
        first += strncmp(line, "22809 ", 6) == 0;
        second += strncmp(line, "23203 ", 6) == 0;
    }
    assert_int_equal(first, expected - 2 * 5); /* five make or destroy */
    assert_int_equal(second, first);
    /* A few whose communicators are at different places; the last is on the stack. */
    assert_contains(result.out, "23203 CommCount\n");
    assert_contains(result.out, "23203 RedOpDestroy\n");
    assert_contains(result.out, "23203 AllGather\n");
    assert_contains(result.out, "23203 Reduce\n");
    assert_contains(result.out, "23203 PutSignal\n");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void what_is_made_of_one_follows_it(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "split:b,c count:c shrink:c,d count:d grow:d,e count:e",
                      MADE "23203 CommSplit; split:b,c=0; 23203 CommCount; count:c=0; 23203 CommShrink; shrink:c,d=0; "
                           "23203 CommCount; count:d=0; 23203 CommGrow; grow:d,e=0; 23203 CommCount; count:e=0");
    /* A choice that was made since does not count. */
    assert_transcript(NO_ENV, A_AND_B "use:$B split:a,c count:c grow:a,d count:d",
                      MADE "use:$B=0; 22809 CommSplit; split:a,c=0; 22809 CommCount; count:c=0; "
                           "22809 CommGrow; grow:a,d=0; "
                           "22809 CommCount; count:d=0");
    /* A rank that joins has no communicator yet: its thread's choice counts. */
    assert_transcript(NO_ENV, "use:$B id joingrown:c count:c commid:c",
                      "use:$B=0; 23203 GetUniqueId; id=0; 23203 CommGrow; joingrown:c=0; 23203 "
                      "CommCount; count:c=0; "
                      "23203 CommGetUniqueId; commid:c=0");
}

/* malloc gives the address of the destroyed one to the other library at once. */
static void an_address_that_is_used_again(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "destroy:b all:c same:b,c count:c",
                      MADE "23203 CommDestroy; destroy:b=0; 22809 CommInitAll; all:c=0; "
                           "same:b,c=1; 22809 CommCount; count:c=0");
    assert_transcript(NO_ENV, A_AND_B "abort:a use:$B all:c same:a,c count:c",
                      MADE "22809 CommAbort; abort:a=0; use:$B=0; 23203 CommInitAll; all:c=0; "
                           "same:a,c=1; 23203 CommCount; "
                           "count:c=0");
    /* As a split, which another function writes. */
    assert_transcript(NO_ENV, A_AND_B "all:c destroy:b split:c,d same:b,d count:d",
                      MADE "22809 CommInitAll; all:c=0; 23203 CommDestroy; destroy:b=0; 22809 CommSplit; split:c,d=0; "
                           "same:b,d=1; 22809 CommCount; count:d=0");
}

static void what_could_not_be_destroyed_stays(void **state) {
    (void)state;
    assert_transcript(ENV("OWNED_23203_CommDestroy=2"), A_AND_B "destroy:b count:b abort:b all:c same:b,c count:c",
                      MADE "23203 CommDestroy; destroy:b=2; 23203 CommCount; count:b=0; 23203 CommAbort; abort:b=0; "
                           "22809 CommInitAll; all:c=0; same:b,c=1; 22809 CommCount; count:c=0");
}

static void handles_that_come_when_the_group_ends(void **state) {
    (void)state;
    assert_transcript(ENV("OWNED_LATE=group"), A_AND_B "start split:b,c split:a,d end count:c count:d",
                      MADE "start=0; 23203 GroupStart; 23203 CommSplit; split:b,c=0; 22809 "
                           "GroupStart; 22809 CommSplit; "
                           "split:a,d=0; 22809 GroupEnd; 23203 GroupEnd; end=0; 23203 CommCount; "
                           "count:c=0; 22809 CommCount; "
                           "count:d=0");
    /* Without a color there is none; the place may hold anything later, here one of the other library. */
    assert_transcript(ENV("OWNED_LATE=group"), A_AND_B "start nocolor:b,c end all:c count:c",
                      MADE "start=0; 23203 GroupStart; 23203 CommSplit; nocolor:b,c=0; 23203 GroupEnd; end=0; "
                           "22809 CommInitAll; all:c=0; 22809 CommCount; count:c=0");
}

/*
 * A place that stays empty is looked at no more: a copy of an old handle that comes there is not taken for the new one.
 */
static void a_place_that_stays_empty(void **state) {
    (void)state;
    assert_transcript(ENV("OWNED_LATE=group"), A_AND_B "start nocolor:b,c end copy:a,c count:a",
                      MADE "start=0; 23203 GroupStart; 23203 CommSplit; nocolor:b,c=0; 23203 "
                           "GroupEnd; end=0; copy:a,c=0; "
                           "22809 CommCount; count:a=0");
    assert_transcript(ENV("OWNED_LATE=group", "OWNED_23203_CommCount=3"),
                      A_AND_B "start split:b,c count:b end copy:a,c count:a",
                      MADE "start=0; 23203 GroupStart; 23203 CommSplit; split:b,c=0; 23203 CommCount; count:b=3; "
                           "23203 GroupEnd; 23203 launches nothing; end=3; copy:a,c=0; 22809 CommCount; count:a=0");
    /* The newest call that writes to a place counts, even if the older one was still in progress. */
    assert_transcript(
        ENV("OWNED_LATE=thread", "OWNED_23203_CommSplit=7"),
        "all:a use:$B all:b use poll:a poll:b split:b,c split:a,c poll:c count:c",
        "22809 CommInitAll; all:a=7; use:$B=0; 23203 CommInitAll; all:b=7; use=0; poll:a=1; poll:b=1; "
        "23203 CommSplit; split:b,c=7; 22809 CommSplit; split:a,c=7; poll:c=1; 22809 CommCount; count:c=0");
}

static void a_group_that_failed_has_made_nothing(void **state) {
    (void)state;
    assert_transcript(ENV("OWNED_LATE=group", "OWNED_23203_CommCount=3"),
                      A_AND_B "start split:b,c count:b end all:c reduce:c",
                      MADE "start=0; 23203 GroupStart; 23203 CommSplit; split:b,c=0; 23203 CommCount; count:b=3; "
                           "23203 GroupEnd; 23203 launches nothing; end=3; 22809 CommInitAll; all:c=0; 22809 "
                           "AllReduce; "
                           "reduce:c=0");
}

static void handles_that_another_thread_writes(void **state) {
    (void)state;
    const char *made = "use:$B=0; 23203 CommInitAll; all:b=7; use=0; poll:b=1; ";
    assert_transcript(ENV("OWNED_LATE=thread"), "use:$B all:b use poll:b count:b split:b,c poll:c count:c",
                      text("%s23203 CommCount; count:b=0; 23203 CommSplit; split:b,c=7; poll:c=1; "
                           "23203 CommCount; count:c=0",
                           made));
    /* A later group of the same thread does not make it forget the place. */
    assert_transcript(ENV("OWNED_LATE=thread"),
                      "use:$B all:b use poll:b start split:b,c end start count:b end poll:c count:c",
                      text("%sstart=0; 23203 GroupStart; 23203 CommSplit; split:b,c=0; 23203 "
                           "GroupEnd; end=7; start=0; "
                           "23203 GroupStart; 23203 CommCount; count:b=0; 23203 GroupEnd; end=0; "
                           "poll:c=1; 23203 CommCount; "
                           "count:c=0",
                           made));
}

static void memory_is_freed_where_it_was_made(void **state) {
    (void)state;
    assert_transcript(NO_ENV, "alloc:p use:$B alloc:q use alloc:r free:q free:r alloc:s same:r,s free:s",
                      "22809 MemAlloc; alloc:p=0; use:$B=0; 23203 MemAlloc; alloc:q=0; use=0; 22809 MemAlloc; "
                      "alloc:r=0; "
                      "23203 MemFree; free:q=0; 22809 MemFree; free:r=0; 22809 MemAlloc; alloc:s=0; same:r,s=1; "
                      "22809 MemFree; free:s=0");
    /* What was made before there were two. */
    assert_transcript(NO_ENV, "alloc:p use:$B free:p", "22809 MemAlloc; alloc:p=0; use:$B=0; 22809 MemFree; free:p=0");
    /* An address that is used again; and one that came back by other ways. */
    assert_transcript(NO_ENV, "use:$B alloc:q free:q use alloc:r same:q,r free:r",
                      "use:$B=0; 23203 MemAlloc; alloc:q=0; 23203 MemFree; free:q=0; use=0; 22809 "
                      "MemAlloc; alloc:r=0; "
                      "same:q,r=1; 22809 MemFree; free:r=0");
    assert_transcript(NO_ENV, "use:$B alloc:q freeother:q use alloc:r same:q,r free:r",
                      "use:$B=0; 23203 MemAlloc; alloc:q=0; freeother:q=0; use=0; 22809 MemAlloc; "
                      "alloc:r=0; same:q,r=1; "
                      "22809 MemFree; free:r=0");
    assert_transcript(ENV("OWNED_23203_MemFree=1"), "use:$B alloc:q use free:q free:q",
                      "use:$B=0; 23203 MemAlloc; alloc:q=0; use=0; 23203 MemFree; free:q=1; 23203 "
                      "MemFree; free:q=1");
}

static void windows_too(void **state) {
    (void)state;
    assert_transcript(NO_ENV,
                      A_AND_B "window:b,w window:a,v pointer:w pointer:v unwindow:b,w window:a,x same:w,x pointer:x",
                      MADE "23203 CommWindowRegister; window:b,w=0; 22809 CommWindowRegister; window:a,v=0; "
                           "23203 GetLsaDevicePointer; pointer:w=0; 22809 GetLsaDevicePointer; pointer:v=0; "
                           "23203 CommWindowDeregister; unwindow:b,w=0; 22809 CommWindowRegister; window:a,x=0; "
                           "same:w,x=1; "
                           "22809 GetLsaDevicePointer; pointer:x=0");
    assert_transcript(ENV("OWNED_LATE=group"), A_AND_B "start window:b,w end pointer:w",
                      MADE "start=0; 23203 GroupStart; 23203 CommWindowRegister; window:b,w=0; 23203 GroupEnd; end=0; "
                           "23203 GetLsaDevicePointer; pointer:w=0");
}

/* Who waits for the table of handles sleeps, so that a holder of lower priority can go on. */
static void a_thread_of_real_time_priority_does_not_spin(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", owned("22809")), "OWNED_QUIET=1"),
                               CMD(program("linked_realtime"), owned("23203")));
    if (result.status == 77) {
        print_message("skipped: no thread may have real-time priority here\n");
        result_free(&result);
        return;
    }
    assert_int_equal(result.status, 0);
    assert_contains(result.out, "longest ");
    if (atof(strstr(result.out, "longest ") + 8) > 500)
        fail_msg("a real-time thread waited %s ms", strstr(result.out, "longest ") + 8);
    result_free(&result);
}

/* The library tells a foreign handle from its own: this is what the tests above would show. */
static void the_check_can_fail(void **state) {
    (void)state;
    struct result result = owned_run(NO_ENV, "all:a alloc:p count:p");
    assert_contains(result.out, "22809 FOREIGN communicator\ncount:p=4\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_go_to_the_maker),
        cmocka_unit_test(every_row_finds_its_communicator),
        cmocka_unit_test(what_is_made_of_one_follows_it),
        cmocka_unit_test(an_address_that_is_used_again),
        cmocka_unit_test(what_could_not_be_destroyed_stays),
        cmocka_unit_test(handles_that_come_when_the_group_ends),
        cmocka_unit_test(a_place_that_stays_empty),
        cmocka_unit_test(a_group_that_failed_has_made_nothing),
        cmocka_unit_test(handles_that_another_thread_writes),
        cmocka_unit_test(memory_is_freed_where_it_was_made),
        cmocka_unit_test(windows_too),
        cmocka_unit_test(a_thread_of_real_time_priority_does_not_spin),
        cmocka_unit_test(the_check_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
