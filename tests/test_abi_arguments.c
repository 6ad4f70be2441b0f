/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every name of the table reaches the backend's function of that name with all argument registers and the stack
 * untouched, and its answer comes back untouched: in the call that binds and in later ones.
 */
#include "support.h"

#include "loader.h"

#include <string.h>

/* Without the functions that look at their arguments (call_all.c). */
static unsigned exported_names(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < NCR_ROWS; i++)
        count += 1 + ncr_functions[i].alias;
    return count - 2 * 13;
}

static void check(const char *recorder, const char *how, const char *when) {
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library(recorder)), when),
                               CMD(program("call_all"), library(recorder), how));
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, text("names=%u good=%u\n", exported_names(), 3 * exported_names()));
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void every_name_reaches_its_own(void **state) {
    (void)state;
    check("recording", NULL, "NCCL_REDIRECT_BIND=first-use");
}

static void bound_in_the_constructor_too(void **state) {
    (void)state;
    check("recording", NULL, "NCCL_REDIRECT_BIND=start");
}

static void aliases_reach_the_function_where_a_backend_has_none(void **state) {
    (void)state;
    check("recording_no_aliases", "no-aliases", "NCCL_REDIRECT_BIND=first-use");
}

/* The program does tell right from wrong: a backend with aliases is not one without. */
static void the_check_can_fail(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("recording"))),
                               CMD(program("call_all"), library("recording"), "no-aliases"));
    assert_contains(result.out, "pncclAllReduce: the first call reached another function\n");
    assert_lacks(result.out, "\nncclAllReduce: ");
    assert_int_equal(result.status, 1);
    result_free(&result);
    result = run(WITHOUT_SHIM, NO_ENV, CMD(program("call_all"), library("recording")));
    assert_contains(result.out, "ncclAllReduce: the first call is not there\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_reaches_its_own),
        cmocka_unit_test(bound_in_the_constructor_too),
        cmocka_unit_test(aliases_reach_the_function_where_a_backend_has_none),
        cmocka_unit_test(the_check_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
