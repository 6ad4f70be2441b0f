/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks before, during and after the binding, from another thread and from the backend's constructor: each process has
 * a whole binding, its own or its parent's.
 */
#include "support.h"

#include <string.h>

static unsigned count(const char *all, const char *part) {
    unsigned found = 0;
    for (const char *at = all; (at = strstr(at, part)); at++)
        found++;
    return found;
}

static void check(const char *when, const char *variable, const char *expected, unsigned least, unsigned most) {
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("slow")), "NCCL_REDIRECT_LOG=info", variable),
            CMD(program("fork_binding"), when, "23007"));
    assert_string_equal(result.out, expected);
    assert_in_range(count(result.err, "is active"), least, most);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void before(void **state) {
    (void)state;
    check("before", "A=", "parent=1 children=1 of 1\n", 2, 2);
}

static void after(void **state) {
    (void)state;
    check("after", "A=", "parent=1 children=1 of 1\n", 1, 1);
}

/* A child that is forked when the thread has just not begun binds itself; every other has its parent's binding. */
static void during(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++)
        check("during", "A=", "parent=1 children=20 of 20\n", 1, 2);
}

static void in_the_constructor_of_the_backend(void **state) {
    (void)state;
    check("after", "SLOW_FORKS=1", "parent=1 children=1 of 1\n", 1, 1);
    check("during", "SLOW_FORKS=1", "parent=1 children=20 of 20\n", 1, 2);
}

/*
 * vfork and posix_spawn copy nothing and run no handlers. The two programs that they start fork once, and bind twice.
 */
static void spawned_meanwhile(void **state) {
    (void)state;
    check("spawn", "A=", "parent=1 children=1 of 1\nparent=1 children=1 of 1\nparent=1 children=2 of 2\n", 5, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before),
        cmocka_unit_test(after),
        cmocka_unit_test(during),
        cmocka_unit_test(in_the_constructor_of_the_backend),
        cmocka_unit_test(spawned_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
