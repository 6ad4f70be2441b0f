/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles that NCCL writes after the call has returned: the library that made one is known as soon as the program sees
 * it, and a variable of the program is left alone as soon as it has its handle, or can get none any more.
 */
#include "owned.h"

#include <string.h>

#define A_AND_B "all:a use:$B all:b use "
#define MADE "22809 CommInitAll; all:a=0; use:$B=0; 23203 CommInitAll; all:b=0; use=0; "
#define SILENT ENV("OWNED_LATE=silent")

/*
 * NCCL's ncclCommSplit returns ncclSuccess before there is a handle; the shim asks the library then whether something is
 * in progress.
 */
static void a_program_that_looks_at_its_variable_only(void **state) {
    (void)state;
    assert_transcript(SILENT, A_AND_B "split:b,c poll:c count:c",
                      MADE
                      "23203 CommSplit; 23203 CommGetAsyncError; split:b,c=0; poll:c=1; 23203 CommCount; count:c=0");
    assert_transcript(
        SILENT, A_AND_B "split:b,c poll:c take:c,d count:d",
        MADE "23203 CommSplit; 23203 CommGetAsyncError; split:b,c=0; poll:c=1; take:c,d=0; 23203 CommCount; count:d=0");
    assert_transcript(
        SILENT, A_AND_B "shrink:b,c grow:a,d poll:c poll:d count:c count:d",
        MADE
        "23203 CommShrink; 23203 CommGetAsyncError; shrink:b,c=0; 22809 CommGrow; 22809 CommGetAsyncError; grow:a,d=0; poll:c=1; poll:d=1; "
        "23203 CommCount; count:c=0; 22809 CommCount; count:d=0");
    assert_transcript(
        SILENT, A_AND_B "@split:b,c @poll:c count:c @count:c",
        MADE
        "23203 CommSplit; 23203 CommGetAsyncError; split:b,c=0; poll:c=1; 23203 CommCount; count:c=0; 23203 CommCount; "
        "count:c=0");
    assert_transcript(
        SILENT, A_AND_B "window:b,w window:a,v poll:w poll:v pointer:w pointer:v",
        MADE
        "23203 CommWindowRegister; 23203 CommGetAsyncError; window:b,w=0; 22809 CommWindowRegister; 22809 CommGetAsyncError; window:a,v=0; poll:w=1; "
        "poll:v=1; 23203 GetLsaDevicePointer; pointer:w=0; 22809 GetLsaDevicePointer; pointer:v=0");
}

/* A handle does not tell its library, and neither does the order in which they come. */
static void two_libraries_have_one_pending(void **state) {
    (void)state;
    assert_transcript(
        SILENT, A_AND_B "split:b,c split:a,d poll:c poll:d take:c,e take:d,f count:f count:e",
        MADE
        "23203 CommSplit; 23203 CommGetAsyncError; split:b,c=0; 22809 CommSplit; 22809 CommGetAsyncError; split:a,d=0; poll:c=1; poll:d=1; take:c,e=0; "
        "take:d,f=0; 22809 CommCount; count:f=0; 23203 CommCount; count:e=0");
}

/* After ncclCommGetAsyncError has told that it is over, the handle is there at once. */
static void a_program_that_waits_as_the_manual_says(void **state) {
    (void)state;
    struct result result = owned_run(SILENT, A_AND_B "splitwait:b,c count:c");
    assert_contains(result.out, "\nsplitwait:b,c=0\n23203 CommCount\ncount:c=0\n");
    result_free(&result);
}

static void a_group_of_non_blocking_communicators(void **state) {
    (void)state;
    assert_transcript(SILENT, A_AND_B "start split:b,c split:a,d end poll:c poll:d take:c,e count:e count:d",
                      MADE
                      "start=0; 23203 GroupStart; 23203 CommSplit; split:b,c=0; 22809 GroupStart; 22809 CommSplit; "
                      "split:a,d=0; 22809 GroupEnd; 23203 GroupEnd; end=7; poll:c=1; poll:d=1; take:c,e=0; "
                      "23203 CommCount; count:e=0; 22809 CommCount; count:d=0");
}

/* A program may give back the memory of its variable as soon as it has the handle; nothing may be read there then. */
static void the_variable_is_gone(void **state) {
    (void)state;
    assert_transcript(
        SILENT, A_AND_B "unmapped:b,c unmapped:a,d state:b state:a start count:c end count:d destroy:b abort:a",
        MADE
        "23203 CommSplit; 23203 CommGetAsyncError; unmapped:b,c=0; 22809 CommSplit; 22809 CommGetAsyncError; unmapped:a,d=0; 23203 CommGetAsyncError; "
        "state:b=0; 22809 CommGetAsyncError; state:a=0; start=0; 23203 GroupStart; 23203 CommCount; "
        "count:c=0; 23203 GroupEnd; end=0; 22809 CommCount; count:d=0; 23203 CommDestroy; destroy:b=0; "
        "22809 CommAbort; abort:a=0");
}

/* Without a color there is none, whatever the result: the variable may hold a handle of another library. */
static void a_split_without_a_color(void **state) {
    (void)state;
    assert_transcript(ENV("OWNED_23203_CommSplit=7"), A_AND_B "nocolor:b,c copy:a,c state:b count:a count:c",
                      MADE "23203 CommSplit; nocolor:b,c=7; copy:a,c=0; 23203 CommGetAsyncError; state:b=0; "
                           "22809 CommCount; count:a=0; 22809 CommCount; count:c=0");
}

/* What fails, or is aborted, writes nothing into a variable that has another use. */
static void an_operation_that_fails(void **state) {
    (void)state;
    assert_transcript(ENV("OWNED_LATE=fails"), A_AND_B "split:b,c wait state:b copy:a,c count:c abort:b wait same:a,c",
                      MADE "23203 CommSplit; split:b,c=7; wait=0; 23203 CommGetAsyncError; state:b=2; copy:a,c=0; "
                           "22809 CommCount; count:c=0; 23203 CommAbort; abort:b=0; wait=0; same:a,c=1");
    assert_transcript(
        ENV("OWNED_LATE=thread", "OWNED_23203_CommSplit=5"), "use:$B all:b use poll:b split:b,c same:c,d",
        "use:$B=0; 23203 CommInitAll; all:b=7; use=0; poll:b=1; 23203 CommSplit; split:b,c=5; same:c,d=1");
}

static void a_parent_that_is_destroyed(void **state) {
    (void)state;
    assert_transcript(
        SILENT, A_AND_B "split:b,c abort:b copy:a,c count:c wait same:a,c count:a",
        MADE
        "23203 CommSplit; 23203 CommGetAsyncError; split:b,c=0; 23203 CommAbort; abort:b=0; copy:a,c=0; 22809 CommCount; "
        "count:c=0; wait=0; same:a,c=1; 22809 CommCount; count:a=0");
    assert_transcript(
        SILENT, A_AND_B "split:b,c destroy:b count:c",
        MADE
        "23203 CommSplit; 23203 CommGetAsyncError; split:b,c=0; 23203 CommDestroy; destroy:b=0; 23203 CommCount; count:c=0");
}

/* The address of a handle that is gone comes again, as that of a pending one of another library. */
static void an_address_that_is_used_again(void **state) {
    (void)state;
    assert_transcript(
        SILENT, A_AND_B "destroy:b split:a,c poll:c same:b,c count:c",
        MADE
        "23203 CommDestroy; destroy:b=0; 22809 CommSplit; 22809 CommGetAsyncError; split:a,c=0; poll:c=1; same:b,c=1; "
        "22809 CommCount; count:c=0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_looks_at_its_variable_only),
        cmocka_unit_test(two_libraries_have_one_pending),
        cmocka_unit_test(a_program_that_waits_as_the_manual_says),
        cmocka_unit_test(a_group_of_non_blocking_communicators),
        cmocka_unit_test(the_variable_is_gone),
        cmocka_unit_test(a_split_without_a_color),
        cmocka_unit_test(an_operation_that_fails),
        cmocka_unit_test(a_parent_that_is_destroyed),
        cmocka_unit_test(an_address_that_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
