/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL_REDIRECT=/path: a program that is linked with NCCL gets that very file. */
#include "support.h"

static void the_named_file_serves(void **state) {
    static const struct {
        const char *wheel, *version;
    } cases[] = {{"cu11-2.14.3", "21403"}, {"cu12-2.21.5", "22105"}, {"cu12-2.32.3", "23203"}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const char *redirect = text("NCCL_REDIRECT=%s", real_nccl(cases[i].wheel));
        struct result result = run(WITH_SHIM, ENV(redirect), CMD(program("linked_version")));
        assert_contains(result.out, text("version=%s code=0 id=0 filled=1", cases[i].version));
        assert_string_equal(result.err, "");
        assert_int_equal(result.status, 0);
        result_free(&result);
    }
}

static void without_the_shim_another_answers(void **state) {
    (void)state;
    const char *folder = text("LD_LIBRARY_PATH=%s/cu12-2.21.5/lib", built("nccl"));
    const char *redirect = text("NCCL_REDIRECT=%s", real_nccl("cu11-2.14.3"));
    struct result result = run(WITHOUT_SHIM, ENV(folder, redirect), CMD(program("linked_version")));
    assert_contains(result.out, "version=22105 ");
    result_free(&result);
    result = run(WITH_SHIM, ENV(folder, redirect), CMD(program("linked_version")));
    assert_contains(result.out, "version=21403 ");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_named_file_serves),
        cmocka_unit_test(without_the_shim_another_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
