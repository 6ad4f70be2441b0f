/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where no NCCL can be used, NCCL is disabled and the program goes on: a dlopen fails with a dlerror that names the
 * reasons, calls are answered with an error, and ncclGetLastError lists every path that was tried. A later dlopen of a
 * good file binds.
 */
#include "trees.h"

#include <string.h>

/* No NCCL of the machine meets this; one over host memory does. */
#define NO_OTHER "NCCL_REDIRECT_REQUIRE===2.18.3"

static const char *places, *broken, *torch;

static int set_up(void **state) {
    (void)state;
    const char *site = fresh_folder();
    broken = text("%s/libnccl.so.2", fresh_folder());
    copy_file(TORCH_NCCL, broken, 5000);
    places = text("LD_LIBRARY_PATH=%.*s:%s", (int)(strrchr(broken, '/') - broken), broken,
                  folder_with("libnccl.so.2", SYSTEM_NCCL));
    make_torch(site);
    make_wheel(site, TORCH_NCCL);
    torch = text("PYTHONPATH=%s", site);
    return 0;
}

/* Every reason of the setting above. */
static void assert_reasons(const char *message) {
    assert_contains(message, "/nvidia/nccl/lib/libnccl.so.2 (torch, from PYTHONPATH) is NCCL 2.21.5, outside");
    assert_contains(message, text("%s (system, from LD_LIBRARY_PATH) is truncated", broken));
    assert_contains(message, "/libnccl.so.2 (system, from LD_LIBRARY_PATH) is NCCL 2.32.3, outside");
    assert_contains(message, "not found: ");
    assert_contains(message, "/usr/local/lib/libnccl.so.2");
}

static void a_linked_program_goes_on(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(places, torch, NO_OTHER), CMD(program("linked_version")));
    assert_int_equal(result.status, 2);
    assert_contains(result.out, "version=-1 code=2 id=2 filled=0");
    assert_reasons(strstr(result.out, "last=\""));
    assert_contains(result.err, "error: NCCL is disabled by nccl-redirect");
    assert_reasons(result.err);
    assert_one_line(result.err); /* once, whatever the number of calls */
    result_free(&result);
}

static void a_dlopen_says_why(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(places, torch, NO_OTHER), C_PROGRAM);
    assert_int_equal(result.status, 1);
    assert_contains(result.out, "libnccl.so.2: dlerror=");
    assert_contains(result.out, "NCCL is disabled by nccl-redirect: ");
    assert_reasons(result.out);
    assert_string_equal(result.err, ""); /* a program may only ask whether there is an NCCL */
    result_free(&result);
}

static void python_gets_the_reason(void **state) {
    (void)state;
    python_folder();
    struct result result = run(WITH_SHIM, ENV(places, torch, NO_OTHER), CMD(PYTHON, "-c", PYTHON_PROGRAM));
    assert_int_equal(result.status, 1);
    assert_contains(result.err, "OSError: ");
    assert_reasons(result.err);
    result_free(&result);
}

static void a_good_file_binds_later(void **state) {
    (void)state;
    const char *good = text("%s/libnccl.so.2", folder_with("libnccl.so.2", hostmem("old")));
    const char *const *command = CMD(program("open_nccl"), "libnccl.so.2", broken, good, "libnccl.so.2");
    struct result result = run(WITH_SHIM, ENV(places, torch, NO_OTHER), command);
    assert_contains(result.out, "libnccl.so.2: dlerror=");
    assert_contains(result.out, text("%s: dlerror=/proc/self/nccl-redirect: %s: NCCL is disabled by nccl-redirect: ",
                                     broken, broken));
    assert_contains(result.out, text("%s: version=21803 code=0\nlibnccl.so.2: version=21803 code=0\n", good));
    assert_int_equal(result.status, 0);
    result_free(&result);
    /* The second attempt's reason is its own. */
    result = run(WITH_SHIM, ENV(torch, NO_OTHER), CMD(program("open_nccl"), "libnccl.so.2", broken));
    assert_contains(strstr(result.out, text("%s: dlerror=", broken)),
                    text("%s (program, from the file that the program opens) is truncated", broken));
    result_free(&result);
    /* Only auto looks at what the program brings. */
    result = run(WITH_SHIM, ENV(places, torch, NO_OTHER, "NCCL_REDIRECT=system"), command);
    assert_lacks(result.out, "version=");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linked_program_goes_on),
        cmocka_unit_test(a_dlopen_says_why),
        cmocka_unit_test(python_gets_the_reason),
        cmocka_unit_test(a_good_file_binds_later),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
