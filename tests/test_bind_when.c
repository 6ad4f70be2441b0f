/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend is opened in the constructor of a program that is linked with NCCL, at the first use in any other, or as
 * NCCL_REDIRECT_BIND says. Told by the process's own map.
 */
#include "support.h"

#include <stdlib.h>
#include <unistd.h>

static void check(const char *when, const char *const *command, const char *expected) {
    const char *backend = text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5"));
    struct result result = run(WITH_SHIM, ENV(backend, when), command);
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, expected);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* The path as the kernel tells it: without links. */
static const char *mapped(void) {
    char *path = realpath(real_nccl("cu12-2.21.5"), NULL);
    assert_non_null(path);
    return path;
}

static void linked_in_the_constructor(void **state) {
    (void)state;
    const char *expected = text("main: %s\ncode=0 version=22105\nend: %s\n", mapped(), mapped());
    check("A=", CMD(program("linked_maps")), expected);
    check("NCCL_REDIRECT_BIND=auto", CMD(program("linked_maps")), expected);
    check("NCCL_REDIRECT_BIND=start", CMD(program("linked_maps")), expected);
}

static void linked_at_first_use(void **state) {
    (void)state;
    check("NCCL_REDIRECT_BIND=first-use", CMD(program("linked_maps")),
          text("main: none\ncode=0 version=22105\nend: %s\n", mapped()));
}

static void not_linked_at_the_first_open(void **state) {
    (void)state;
    const char *expected = text("main: none\nopened: %s\ncode=0 version=22105\nend: %s\n", mapped(), mapped());
    check("A=", CMD(program("open_later"), "libnccl.so.2"), expected);
    check("A=", CMD(program("open_later"), real_nccl("cu11-2.14.3")), expected);
    check("NCCL_REDIRECT_BIND=first-use", CMD(program("open_later"), "libnccl.so.2"), expected);
}

static void not_linked_at_the_first_call(void **state) {
    (void)state;
    check("A=", CMD(program("open_later")),
          text("main: none\nopened: none\ncode=0 version=22105\nend: %s\n", mapped()));
}

static void not_linked_at_start(void **state) {
    (void)state;
    check("NCCL_REDIRECT_BIND=start", CMD(program("open_later")),
          text("main: %s\nopened: %s\ncode=0 version=22105\nend: %s\n", mapped(), mapped(), mapped()));
}

static void a_python_that_opens_it_later(void **state) {
    (void)state;
    const char *code = "import ctypes\n"
                       "m = lambda: print(sorted({l.split()[-1] for l in open('/proc/self/maps') "
                       "if '/libnccl.so' in l}))\n"
                       "m()\n"
                       "v = ctypes.c_int()\n"
                       "print(ctypes.CDLL('libnccl.so.2').ncclGetVersion(ctypes.byref(v)), v.value)\n"
                       "m()\n";
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("there is no /usr/bin/python3\n");
        skip();
    }
    check("A=", CMD("/usr/bin/python3", "-c", code), text("[]\n0 22105\n['%s']\n", mapped()));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linked_in_the_constructor),    cmocka_unit_test(linked_at_first_use),
        cmocka_unit_test(not_linked_at_the_first_open), cmocka_unit_test(not_linked_at_the_first_call),
        cmocka_unit_test(not_linked_at_start),          cmocka_unit_test(a_python_that_opens_it_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
