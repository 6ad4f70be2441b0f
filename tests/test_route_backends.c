/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two NCCLs in one process: every call goes to the library that made the communicator. Over two host-memory backends.
 */
#include "support.h"

static void expect_of(const char *second, const char *name, const char *const *lines) {
    const char *redirect = text("NCCL_REDIRECT=%s", hostmem("plain"));
    struct result result =
        run(WITH_SHIM, ENV(redirect, "HOSTMEM_TIMEOUT_S=20"), CMD(program("linked_route"), name, second));
    for (; *lines; lines++)
        assert_contains(result.out, *lines);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void expect(const char *name, const char *const *lines) {
    expect_of(hostmem("old"), name, lines);
}

static void communicators_go_where_they_were_made(void **state) {
    (void)state;
    expect("two", CMD("first=22809 second=21803\n", "first right=1 second right=1\n", "split=21803 count=2\n",
                      "version default=22809 chosen=21803\n", "after destroy=22809\n"));
}

static void a_group_holds_both(void **state) {
    (void)state;
    expect("group",
           CMD("inside -1\n", "all 3 3 reduce -1 3\n", "refused 5 ended", ": second -1 -1\n", "unmatched 5\n"));
}

static void communicators_that_are_written_late_are_known(void **state) {
    (void)state;
    expect("late", CMD("made in a group=21803 right=1\n", "no color=(nil)\n"));
}

static void ranks_that_call_in_opposite_order_do_not_wait_for_ever(void **state) {
    (void)state;
    expect("ranks",
           CMD("rank 0: 22809 then 21803, 50 rounds\n", "rank 1: 22809 then 21803, 50 rounds\n", "ranks done\n"));
    /* Two files of one version. */
    const char *same = text("%s/libnccl.so.2", fresh_folder());
    copy_file(hostmem("plain"), same, -1);
    expect_of(same, "ranks",
              CMD("rank 0: 22809 then 22809, 50 rounds\n", "rank 1: 22809 then 22809, 50 rounds\n", "ranks done\n"));
}

static void threads_create_use_and_destroy(void **state) {
    (void)state;
    expect("threads", CMD("threads done\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(communicators_go_where_they_were_made),
        cmocka_unit_test(a_group_holds_both),
        cmocka_unit_test(communicators_that_are_written_late_are_known),
        cmocka_unit_test(ranks_that_call_in_opposite_order_do_not_wait_for_ever),
        cmocka_unit_test(threads_create_use_and_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
