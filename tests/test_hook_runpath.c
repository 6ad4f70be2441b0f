/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every dlopen that is not of an NCCL is the caller's own: its RUNPATH and $ORIGIN count, as without the shim.
 * NOT SANITIZED: AddressSanitizer has a dlopen of its own, which makes itself the caller.
 */
#include "support.h"

static const char *place(bool with_sub) {
    const char *folder = fresh_folder(), *user = text("%s/libuser.so", folder);
    copy_file(library("runpath_user"), user, -1);
    if (with_sub)
        copy_file(library("plugin"), text("%s/sub/libsub.so", folder), -1);
    return user;
}

static void check(const char *user, const char *way, const char *expected) {
    for (int preload = WITHOUT_SHIM; preload <= WITH_SHIM; preload++) {
        struct result result = run((enum preload)preload, NO_ENV, CMD(program("open_runpath"), way, user));
        assert_string_equal(result.out, expected);
        assert_string_equal(result.err, "");
        result_free(&result);
    }
}

static void from_a_constructor_and_a_function(void **state) {
    (void)state;
    check(place(true), "function", "constructor=1 later=4711\nprogram=0\n");
}

static void from_a_constructor_and_a_thread(void **state) {
    (void)state;
    check(place(true), "thread", "constructor=1 later=4711\nprogram=0\n");
}

/* Only the RUNPATH can lead there. */
static void the_check_can_fail(void **state) {
    (void)state;
    check(place(false), "function", "constructor=0 later=-1\nprogram=0\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_a_constructor_and_a_function),
        cmocka_unit_test(from_a_constructor_and_a_thread),
        cmocka_unit_test(the_check_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
