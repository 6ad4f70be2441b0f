/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions besides collectives that an older NCCL lacks: created, answered as NCCL does where the feature is off, or
 * refused with a text and a spoilt group.
 */
#include "support.h"

static const char *const variants[] = {"v20804", "v21304", "no-pnccl", "old", "v22403", "v22703", "plain", "newest"};

static void each_version(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const char *path = hostmem(variants[i]);
        struct result result =
            run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", path)), CMD(program("adapt_functions"), path));
        if (result.status != 0)
            show(&result);
        assert_int_equal(result.status, 0);
        assert_lacks(result.err, "ncclResetDebugInit");
        assert_lacks(result.err, "ncclConfig_t"); /* nothing was set that could be dropped */
        result_free(&result);
    }
}

static void without_the_shim_they_are_missing(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(program("adapt_functions"), hostmem("no-pnccl")));
    assert_int_equal(result.status, 2);
    assert_contains(result.err, "lacks ncclCommInitRankScalable");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version),
        cmocka_unit_test(without_the_shim_they_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
