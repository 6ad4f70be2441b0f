/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How LD_PRELOAD may be written: spaces and colons between its entries, empty ones, a relative path and a change of
 * folder.
 */
#include "support.h"

static void serves(const char *preloads) {
    struct result result =
        run(WITHOUT_SHIM, ENV(text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5")), text("LD_PRELOAD=%s", preloads)),
            CMD(program("open_later"), real_nccl("cu11-2.14.3")));
    assert_string_equal(result.err, "");
    assert_contains(result.out, "code=0 version=22105\n");
    result_free(&result);
}

static void spaces_and_colons(void **state) {
    (void)state;
    const char *other = library("empty");
    serves(text("%s %s", other, shim()));
    serves(text("%s:%s", shim(), other));
    serves(text(" : %s  %s:", other, shim()));
    serves(text("%s:%s:%s", shim(), shim(), other));
}

static void by_name_from_a_search_path(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    copy_file(shim(), text("%s/libnccl_redirect.so", folder), -1);
    struct result result = run(WITHOUT_SHIM,
                               ENV(text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5")),
                                   text("LD_LIBRARY_PATH=%s", folder), "LD_PRELOAD=libnccl_redirect.so"),
                               CMD(program("open_later"), "libnccl.so.2"));
    assert_contains(result.out, "code=0 version=22105\n");
    result_free(&result);
}

/* The handle of the shim is found again although its path leads nowhere by then. */
static void relative_before_a_change_of_folder(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    copy_file(shim(), text("%s/libnccl_redirect.so", folder), -1);
    struct result result = run(WITHOUT_SHIM, ENV(text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5"))),
                               CMD("/bin/sh", "-c", "cd \"$1\" && LD_PRELOAD=./libnccl_redirect.so exec \"$2\" \"$3\"",
                                   "sh", folder, program("open_after_chdir"), real_nccl("cu11-2.14.3")));
    assert_string_equal(result.err, "");
    assert_contains(result.out, "code=0 version=22105\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spaces_and_colons),
        cmocka_unit_test(by_name_from_a_search_path),
        cmocka_unit_test(relative_before_a_change_of_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
