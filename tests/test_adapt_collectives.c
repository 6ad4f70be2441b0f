/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that an older NCCL lacks give right results on it, and types that it does not know are moved. */
#include "support.h"

/* Of each one a version before which something changed. */
static const char *const variants[] = {"v20804", "v21304", "no-pnccl", "old", "v22403", "v22703", "plain", "newest"};

static void on(const char *path) {
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", path)), CMD(program("adapt_collectives"), path));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void each_version_gives_the_reference_results(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        on(hostmem(variants[i]));
}

/* RCCL writes ncclAllToAll, NCCL ncclAlltoAll: each program's word works on each library. */
static void rccl_serves_nccl_names(void **state) {
    (void)state;
    on(built("hostmem/rccl/librccl.so.1"));
}

static void without_the_shim_they_are_missing(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(program("adapt_collectives"), hostmem("v21304")));
    assert_int_equal(result.status, 2);
    assert_contains(result.err, "lacks nccl");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_version_gives_the_reference_results),
        cmocka_unit_test(rccl_serves_nccl_names),
        cmocka_unit_test(without_the_shim_they_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
