/* Two NCCLs in one process: every call goes to the library that made the communicator. Over two host-memory backends. */
#include "support.h"

static struct result route(const char *name) {
    const char *redirect = text("NCCL_REDIRECT=%s", hostmem("plain"));
    return run(WITH_SHIM, ENV(redirect, "HOSTMEM_TIMEOUT_S=20"), CMD(program("linked_route"), name, hostmem("old")));
}

static void expect(const char *name, const char *const *lines) {
    struct result result = route(name);
    for (; *lines; lines++)
        assert_contains(result.out, *lines);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void communicators_go_where_they_were_made(void **state) {
    (void)state;
    expect("two", CMD("first=22809 second=21803\n", "first right=1 second right=1\n", "split=21803 count=2\n",
                      "version default=22809 chosen=21803\n", "after destroy=22809\n"));
}

static void a_group_holds_both(void **state) {
    (void)state;
    expect("group", CMD("inside -1\n", "all 3 3 reduce -1 3\n", "refused 5 ended", ": second -1 -1\n", "unmatched 5\n"));
}

static void communicators_that_are_written_late_are_known(void **state) {
    (void)state;
    expect("late", CMD("made in a group=21803 right=1\n", "no color=(nil)\n"));
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
        cmocka_unit_test(threads_create_use_and_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
