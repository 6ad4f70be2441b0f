/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other libraries in LD_PRELOAD, before and behind the shim: memory allocators, fakeroot, an interposer of dlopen.
 * NOT SANITIZED: other allocators are preloaded.
 */
#include "support.h"

#include <string.h>
#include <unistd.h>

/* A library of the system or of build/packages. */
static const char *installed(const char *name) {
    static const char *const folders[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"};
    for (int i = 0; i < 2; i++)
        for (int unpacked = 0; unpacked < 2; unpacked++) {
            const char *path = text("%s%s/%s", unpacked ? built("packages") : "", folders[i], name);
            if (access(path, R_OK) == 0)
                return path;
        }
    fail_msg("%s is not there; `make check` fetches it", name);
    return NULL;
}

static void serves(const char *preloads, const char *marker) {
    const char *redirect = text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5"));
    struct result result = run(WITHOUT_SHIM, ENV(redirect, text("LD_PRELOAD=%s", preloads)),
                               CMD(program("open_later"), real_nccl("cu11-2.14.3")));
    assert_string_equal(result.err, "");
    assert_contains(result.out, "code=0 version=22105\n");
    assert_contains(result.out, marker);
    assert_int_equal(result.status, 0);
    result_free(&result);
    result = run(WITHOUT_SHIM, ENV(redirect, text("LD_PRELOAD=%s", preloads)), CMD(program("linked_version")));
    assert_string_equal(result.err, "");
    assert_contains(result.out, "version=22105 code=0 id=0 filled=1");
    assert_int_equal(result.status, 0);
    result_free(&result);
    /* Threads and forks, with the allocators' own fork handlers. */
    result = run(WITHOUT_SHIM, ENV(text("NCCL_REDIRECT=%s", library("slow")), text("LD_PRELOAD=%s", preloads)),
                 CMD(program("fork_binding"), "during", "23007"));
    assert_string_equal(result.err, "");
    assert_contains(result.out, "parent=1 children=20 of 20\n");
    result_free(&result);
}

static void in_either_order(const char *other, const char *marker) {
    serves(text("%s:%s", other, shim()), marker);
    serves(text("%s:%s", shim(), other), marker);
}

static void jemalloc(void **state) {
    (void)state;
    in_either_order(installed("libjemalloc.so.2"), "");
}

static void tcmalloc(void **state) {
    (void)state;
    in_either_order(installed("libtcmalloc_minimal.so.4"), "");
}

static void fakeroot(void **state) {
    (void)state;
    in_either_order(installed("libfakeroot/libfakeroot-sysv.so"), "");
}

/* Whichever is first hands on to the other, once at least. */
static void an_interposer_of_dlopen(void **state) {
    (void)state;
    in_either_order(library("dlopen_tool"), "dlopen tool: used\n");
}

/* Functions of the C library that the shim looks up later are found where the loader would find them. */
static void a_function_of_the_c_library(void **state) {
    (void)state;
    for (int before = 0; before < 2; before++) {
        const char *preload =
            before ? text("%s:%s", library("own_getpid"), shim()) : text("%s:%s", shim(), library("own_getpid"));
        struct result result = run(WITHOUT_SHIM,
                                   ENV(text("LD_PRELOAD=%s", preload), "NCCL_REDIRECT_LOG=debug",
                                       text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5"))),
                                   CMD(program("linked_version")));
        assert_contains(result.err, ":4711: info: NCCL 2.21.5 is active");
        result_free(&result);
    }
}

static void all_of_them(void **state) {
    (void)state;
    serves(text("%s:%s:%s:%s", library("dlopen_tool"), installed("libjemalloc.so.2"), shim(),
                installed("libfakeroot/libfakeroot-sysv.so")),
           "dlopen tool: used\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jemalloc),
        cmocka_unit_test(tcmalloc),
        cmocka_unit_test(fakeroot),
        cmocka_unit_test(an_interposer_of_dlopen),
        cmocka_unit_test(a_function_of_the_c_library),
        cmocka_unit_test(all_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
