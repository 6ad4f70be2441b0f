/* SPDX-License-Identifier: Apache-2.0 */
/* Modes of dlopen, handles, dlclose and dlerror: with the shim they are as with the library itself. */
#include "support.h"

static void as_with_the_real_one(void **state) {
    (void)state;
    const char *path = text("LD_LIBRARY_PATH=%s/cu12-2.21.5/lib", built("nccl"));
    const char *redirect = text("NCCL_REDIRECT=%s", real_nccl("cu11-2.14.3"));
    struct result without = run(WITHOUT_SHIM, ENV(path, redirect), CMD(program("open_modes")));
    struct result with = run(WITH_SHIM, ENV(path, redirect), CMD(program("open_modes")));
    assert_contains(without.out, "not loaded: NULL, no error\n");
    assert_contains(without.out, "one handle: 1\n");
    assert_contains(without.out, "code: 0\n");
    assert_string_equal(with.out, without.out);
    assert_string_equal(without.err, "22105\n");
    assert_string_equal(with.err, "21403\n");
    assert_int_equal(with.status, 0);
    result_free(&with);
    result_free(&without);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_with_the_real_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
