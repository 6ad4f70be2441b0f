/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend that wraps another NCCL reaches it: its own dlopen is not redirected, and the second NCCL is no matter of
 * warning.
 */
#include "trees.h"

#include <string.h>

static void check(const char *early) {
    struct result result = run(
        WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("wrapper")), text("WRAPS=%s", real_nccl("cu12-2.21.5")), early),
        CMD(program("linked_create")));
    assert_string_equal(result.out, "version=0,22105 id=0 text=wrapped\n");
    assert_string_equal(result.err, "before\nbetween\n");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void when_it_needs_it(void **state) {
    (void)state;
    check("A=");
}

static void in_its_constructor(void **state) {
    (void)state;
    check("WRAPS_EARLY=1");
}

/* The id is the wrapped library's: without one there is none. */
static void the_check_can_fail(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("wrapper")), "WRAPS=/nowhere/libnccl.so.2"),
            CMD(program("linked_create")));
    assert_string_equal(result.out, "version=0,22105 id=3 text=wrapped\n");
    result_free(&result);
}

/* The program's own dlopen of the wrapped file is redirected all the same. */
static void the_program_gets_the_wrapper(void **state) {
    (void)state;
    const char *real = real_nccl("cu11-2.14.3");
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("wrapper")), text("WRAPS=%s", real)),
                               CMD(program("open_later"), real));
    assert_contains(result.out, "opened: none\ncode=0 version=22105\n");
    result_free(&result);
}

/* "libnccl.so.2" is this preload to the loader; the wrapper gets a real one, which here is found in LD_LIBRARY_PATH. */
static void by_the_bare_name(void **state) {
    (void)state;
    const char *system = text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", SYSTEM_NCCL));
    const char *const environment[] = {text("NCCL_REDIRECT=%s", library("wrapper")), system, "WRAPS=libnccl.so.2", NULL,
                                       NULL};
    static const char *const when[] = {"A=", "WRAPS_EARLY=1"};
    for (int i = 0; i < 2; i++) {
        const char *more[5];
        memcpy(more, environment, sizeof environment);
        more[3] = when[i];
        struct result result = run(WITH_SHIM, more, CMD(program("linked_create")));
        assert_string_equal(result.out, "version=0,22105 id=0 text=wrapped\n");
        assert_string_equal(result.err, "before\nbetween\n");
        result_free(&result);
    }
    /* The wrapper itself bears the name, and is the first one that the loader finds: the next one is behind it. */
    const char *folder = fresh_folder();
    copy_file(library("wrapper"), text("%s/libnccl.so.2", folder), -1);
    struct result result = run(WITH_SHIM,
                               ENV(text("NCCL_REDIRECT=%s/libnccl.so.2", folder), "WRAPS=libnccl.so.2",
                                   text("LD_LIBRARY_PATH=%s:%s", folder, folder_with("libnccl.so.2", SYSTEM_NCCL))),
                               CMD(program("linked_create")));
    assert_string_equal(result.out, "version=0,22105 id=0 text=wrapped\n");
    result_free(&result);
}

/* Linked with it, its calls can only come back: refused in words. */
static void a_wrapper_that_is_linked_with_nccl(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library("linked_wrapper"))), CMD(program("linked_version")));
    assert_contains(result.out, "version=-1 code=2");
    assert_contains(result.err, "is itself linked with libnccl.so.2, which is nccl-redirect in this process");
    result_free(&result);
    result = run(WITHOUT_SHIM, ENV(text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", SYSTEM_NCCL))),
                 CMD(program("open_nccl"), library("linked_wrapper")));
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_the_bare_name),   cmocka_unit_test(a_wrapper_that_is_linked_with_nccl),
        cmocka_unit_test(when_it_needs_it),   cmocka_unit_test(in_its_constructor),
        cmocka_unit_test(the_check_can_fail), cmocka_unit_test(the_program_gets_the_wrapper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
