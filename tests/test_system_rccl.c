/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An RCCL is used where there is no NCCL; with the preload library for RCCL it is the other way round. The RCCL is one
 * over host memory.
 */
#include "trees.h"

#define RCCL_VERSION 22806

/* No NCCL of the machine meets this; the RCCL of the test does. */
#define ONLY_RCCL "NCCL_REDIRECT_REQUIRE===2.28.6"

static const char *rccl, *nccl, *torch;

static int set_up(void **state) {
    (void)state;
    rccl = folder_with("librccl.so.1", built("hostmem/rccl/librccl.so.1"));
    nccl = folder_with("libnccl.so.2", SYSTEM_NCCL);
    torch = text("PYTHONPATH=%s", fresh_folder());
    return 0;
}

static void only_where_no_nccl_is(void **state) {
    (void)state;
    const char *both = text("LD_LIBRARY_PATH=%s:%s", rccl, nccl), *system = "NCCL_REDIRECT=system";
    assert_serves(ENV(both, system), C_PROGRAM, SYSTEM_VERSION);
    struct result result = run(WITH_SHIM, ENV(both, system, ONLY_RCCL, "NCCL_REDIRECT_LOG=info"), C_PROGRAM);
    assert_contains(result.out, text("version=%d", RCCL_VERSION));
    assert_contains(result.err, text("info: RCCL 2.28.6 is active: %s/librccl.so.1 (system, from "
                                     "LD_LIBRARY_PATH",
                                     rccl));
    result_free(&result);
}

static void first_under_its_own_preload(void **state) {
    (void)state;
    const char *preload = text("LD_PRELOAD=%s", built("librccl_redirect.so"));
    const char *both = text("LD_LIBRARY_PATH=%s:%s", nccl, rccl), *system = "NCCL_REDIRECT=system";
    const char *const *open_rccl = CMD(program("open_nccl"), "librccl.so.1");
    struct result result = run(WITHOUT_SHIM, ENV(preload, both, system), open_rccl);
    assert_contains(result.out, text("version=%d", RCCL_VERSION));
    result_free(&result);
    result = run(WITHOUT_SHIM, ENV(preload, text("LD_LIBRARY_PATH=%s", nccl), system, "NCCL_REDIRECT_REQUIRE=>=2.32"),
                 open_rccl);
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    result_free(&result);
}

/* A program that asks or chooses gets what the process itself would. */
static void first_for_a_program_that_chooses(void **state) {
    (void)state;
    const char *preload = text("LD_PRELOAD=%s", built("librccl_redirect.so"));
    const char *both = text("LD_LIBRARY_PATH=%s:%s", nccl, rccl);
    struct result result = run(WITHOUT_SHIM, ENV(preload, both, "NCCL_REDIRECT=system", "NCCL_REDIRECT_LOG=info"),
                               CMD(program("ask"), "available=system", "use=system", "info"));
    assert_contains(result.out, text("reason=%s/librccl.so.1 ", rccl));
    assert_contains(result.out, "backends=1 kind=system");
    assert_lacks(result.err, "is active too");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_where_no_nccl_is),
        cmocka_unit_test(first_under_its_own_preload),
        cmocka_unit_test(first_for_a_program_that_chooses),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
