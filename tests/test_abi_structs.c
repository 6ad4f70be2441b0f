/* SPDX-License-Identifier: Apache-2.0 */
/* Structs by value as arguments and results, strings, void and ten arguments pass, in the call that binds and later. */
#include "support.h"

#include <string.h>

static const char *const expected[] = {
    "init 3 1 8 3 abcdefghijklmnopqrst !\n",
    "config 4 1 8 3 abcdefghijklmnopqrst ! config\n",
    "team 16 -5 2000000000\n",
    "rank 54321\n",
    "barrier 5 7 8 9 10 handle out\n",
    "multimem 6 56789 multimem\n",
    "ten 7 a 1 2 3 e 5 6 7 8 j\n",
    "void reset\n",
};
#define CALLS (sizeof expected / sizeof *expected)

static void as_the_first_call(void **state) {
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        struct result result =
            run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("typed")), "NCCL_REDIRECT_BIND=first-use"),
                CMD(program("linked_typed"), text("%zu", i)));
        assert_string_equal(result.out, expected[i]);
        assert_string_equal(result.err, "");
        result_free(&result);
    }
}

static void as_later_calls(void **state) {
    char all[1024] = "";
    (void)state;
    for (size_t i = 0; i < CALLS; i++)
        strcat(all, expected[i]);
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("typed"))), CMD(program("linked_typed")));
    assert_string_equal(result.out, all);
    assert_string_equal(result.err, "");
    result_free(&result);
}

/* Disabled: each is answered in its kind, and none of them crashes. */
static void without_a_backend(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV("NCCL_REDIRECT=/nowhere/libnccl.so.2"), CMD(program("linked_typed")));
    assert_contains(result.out, "init 2 0 NCCL is disabled");
    assert_contains(result.out, "\nteam 0 0 0\nrank -1\nbarrier 2 ");
    assert_contains(result.out, "\nvoid ");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_first_call),
        cmocka_unit_test(as_later_calls),
        cmocka_unit_test(without_a_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
