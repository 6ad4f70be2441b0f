/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of choosing in the program run, here over two NCCLs for host memory. */
#include "support.h"

static const char *redirect(void) {
    return text("NCCL_REDIRECT=%s", hostmem("plain"));
}

static void in_c(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(redirect()), CMD(built("demo/per_communicator"), hostmem("plain"), hostmem("old")));
    assert_string_equal(result.out,
                        text("%s: NCCL 2.28.9, %s: all-reduce right\n%s: NCCL 2.18.3, %s: all-reduce right\n",
                             hostmem("plain"), hostmem("plain"), hostmem("old"), hostmem("old")));
    assert_int_equal(result.status, 0);
    result_free(&result);
    result =
        run(WITH_SHIM, ENV(redirect()), CMD(built("demo/per_communicator"), hostmem("plain"), "/nowhere/libnccl.so.2"));
    assert_contains(result.err, "nccl_redirect_use: nccl_redirect_use(\"/nowhere/libnccl.so.2\"): "
                                "/nowhere/libnccl.so.2 (path, ");
    assert_int_equal(result.status, 1);
    result_free(&result);
}

static void in_c_without_the_preload(void **state) {
    (void)state;
    const char *folder = text("LD_LIBRARY_PATH=%s", built("hostmem/plain"));
    struct result result = run(WITHOUT_SHIM, ENV(folder), CMD(built("demo/per_communicator"), "torch", "system"));
    assert_string_equal(result.out, "torch: NCCL 0.0.0, not preloaded: all-reduce right\n"
                                    "system: NCCL 0.0.0, not preloaded: all-reduce right\n");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void in_python(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(redirect()),
            CMD("/usr/bin/python3", "examples/per_communicator.py", hostmem("plain"), hostmem("old")));
    assert_string_equal(result.out, text("%s: NCCL 22809, %s: all-reduce right\n%s: NCCL 21803, %s: all-reduce right\n",
                                         hostmem("plain"), hostmem("plain"), hostmem("old"), hostmem("old")));
    assert_int_equal(result.status, 0);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_c),
        cmocka_unit_test(in_c_without_the_preload),
        cmocka_unit_test(in_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
