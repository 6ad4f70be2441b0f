/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where NCCL is not used nothing is printed and no NCCL is mapped.
 * NOT SANITIZED: it compares the output of other programs.
 */
#include "support.h"

static const char *backend(void) {
    return text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5"));
}

static void prints_nothing(const char *const *command, const char *expected) {
    struct result result = run(WITH_SHIM, ENV(backend(), "NCCL_DEBUG=INFO"), command);
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, expected);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void nothing_is_printed(void **state) {
    (void)state;
    prints_nothing(CMD("/bin/true"), "");
    prints_nothing(CMD("/bin/sh", "-c", "true; echo $((1 + 1))"), "2\n");
    prints_nothing(CMD("/bin/bash", "-c", "echo a | cat | (cat)"), "a\n");
    prints_nothing(CMD("/usr/bin/gcc", "-E", "-x", "c", "-P", "/dev/null"), "");
}

/* The preload must be there for the test to mean something. */
static void no_nccl_is_mapped(void **state) {
    static const char *const shells[] = {"/bin/sh", "/bin/bash"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct result result =
            run(WITH_SHIM, ENV(backend()), CMD(shells[i], "-c", "(true); cat /proc/$$/maps /proc/self/maps"));
        assert_contains(result.out, "/nccl_redirect.so");
        assert_lacks(result.out, "libnccl");
        result_free(&result);
    }
    struct result result =
        run(WITH_SHIM, ENV(backend(), "NCCL_REDIRECT_BIND=start"), CMD("/bin/cat", "/proc/self/maps"));
    assert_contains(result.out, "/libnccl.so.2");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_printed),
        cmocka_unit_test(no_nccl_is_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
