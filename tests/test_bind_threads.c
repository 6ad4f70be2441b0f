/* SPDX-License-Identifier: Apache-2.0 */
/* 64 threads race for the first use: all get the right answers, from one binding. */
#include "support.h"

#include <string.h>

static unsigned count(const char *all, const char *part) {
    unsigned found = 0;
    for (const char *at = all; (at = strstr(at, part)); at++)
        found++;
    return found;
}

static void check(const char *backend, const char *version, const char *threads) {
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", backend), "NCCL_REDIRECT_LOG=debug"),
                               CMD(program("race_first_call"), threads, version));
    assert_string_equal(result.out, text("good=%s\n", threads));
    assert_int_equal(count(result.err, "is active"), 1);
    assert_int_equal(count(result.err, "file system calls to find it"), 1);
    result_free(&result);
}

static void a_slow_backend(void **state) {
    (void)state;
    check(library("slow"), "23007", "64");
}

/* Without the slowness the threads meet at other points of the binding. */
static void a_quick_backend_many_times(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("slow")), "SLOW_MS=0"),
                                   CMD(program("race_first_call"), "64", "23007"));
        assert_string_equal(result.out, "good=64\n");
        assert_string_equal(result.err, "");
        result_free(&result);
    }
}

/* The check can fail: a wrong version is seen by those threads that ask for it. */
static void the_check_can_fail(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("slow"))), CMD(program("race_first_call"), "64", "23008"));
    assert_string_equal(result.out, "good=0\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_backend),
        cmocka_unit_test(a_quick_backend_many_times),
        cmocka_unit_test(the_check_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
