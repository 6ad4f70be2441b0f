/*
 * A backend that wraps another NCCL reaches it: its own dlopen is not redirected, and the second NCCL is no matter of
 * warning.
 */
#include "support.h"

static void check(const char *early) {
    struct result result = run(
        WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("wrapper")), text("WRAPS=%s", real_nccl("cu12-2.21.5")), early),
        CMD(program("linked_create")));
    assert_string_equal(result.out, "version=0,22105 id=0 text=wrapped\n");
    assert_string_equal(result.err, "before\nbetween\n");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void when_it_needs_it(void **state) {
    (void)state;
    check("A=");
}

static void in_its_constructor(void **state) {
    (void)state;
    check("WRAPS_EARLY=1");
}

/* The id is the wrapped library's: without one there is none. */
static void the_check_can_fail(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("wrapper")), "WRAPS=/nowhere/libnccl.so.2"),
            CMD(program("linked_create")));
    assert_string_equal(result.out, "version=0,22105 id=3 text=wrapped\n");
    result_free(&result);
}

/* The program's own dlopen of the wrapped file is redirected all the same. */
static void the_program_gets_the_wrapper(void **state) {
    (void)state;
    const char *real = real_nccl("cu11-2.14.3");
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("wrapper")), text("WRAPS=%s", real)),
                               CMD(program("open_later"), real));
    assert_contains(result.out, "opened: none\ncode=0 version=22105\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when_it_needs_it),
        cmocka_unit_test(in_its_constructor),
        cmocka_unit_test(the_check_can_fail),
        cmocka_unit_test(the_program_gets_the_wrapper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
