/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dlerror tells a program whose NCCL is disabled, and that nothing which somebody could have prepared is opened to
 * make that text: dlopen executes what it opens.
 */
#include "trees.h"

#include <string.h>

static const char *const disabled_by[] = {"NCCL_REDIRECT=/opt/none/libnccl.so.2", "NCCL_REDIRECT_REQUIRE=>=9",
                                          "NCCL_REDIRECT=bogus"};
enum { CASES = sizeof disabled_by / sizeof *disabled_by };

static void the_text_has_file_and_reason(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct result result = run(WITH_SHIM, ENV(disabled_by[i]), CMD(program("open_nccl"), "libnccl.so.2"));
        assert_contains(result.out, "libnccl.so.2: NCCL is disabled by nccl-redirect: ");
        assert_one_line(result.out);
        result_free(&result);
    }
}

static void control_characters_are_escaped(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV("NCCL_REDIRECT=/a\n\033[31mb"), CMD(program("open_nccl"), "libnccl.so.2"));
    assert_contains(result.out, "/a\\n\\x1b[31mb");
    assert_one_line(result.out);
    result_free(&result);
}

/* Likewise what ncclGetLastError tells: here of a rule that names a library with a hostile name. */
static void errors_of_calls_are_escaped(void **state) {
    (void)state;
    struct result result = run(
        WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", hostmem("plain")), "NCCL_REDIRECT_RULES=program=/no\n\033[31mwhere.so"),
        CMD(program("linked_script"), "id:i", "last"));
    assert_contains(result.out, "/no\\n\\x1b[31mwhere.so");
    result_free(&result);
}

/* Every path with the text in it that a system call got. */
static void assert_paths_cannot_exist(const char *calls) {
    unsigned found = 0;
    for (const char *at = calls; (at = strstr(at, "NCCL is disabled")); at++, found++) {
        const char *start = at;
        while (start > calls && *start != '"' && *start != '\n')
            start--;
        if (strncmp(start, "\"/proc/self/nccl-redirect: ", 27) != 0)
            fail_msg("a path that can be prepared is opened: %.200s", start);
    }
    assert_true(found > 0); /* else this shows nothing */
}

static void no_path_that_can_exist_is_opened(void **state) {
    (void)state;
    const char *nccl = real_nccl("cu12-2.21.5");
    const char *const asked[] = {"libnccl.so.2", "sub/libnccl.so.2", "cwd/libnccl.so.2", nccl};
    for (int i = 0; i < CASES; i++)
        for (size_t j = 0; j < sizeof asked / sizeof *asked; j++) {
            const char *calls = text("%s/calls", fresh_folder());
            struct result result =
                run(WITHOUT_SHIM, NO_ENV,
                    CMD("/usr/bin/strace", "-f", "-s", "4096", "-e", "trace=file", "-o", calls, "-E",
                        text("LD_PRELOAD=%s", shim()), "-E", disabled_by[i], program("open_nccl"), asked[j]));
            struct result written = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/cat", calls));
            if (strstr(result.out, "NCCL is disabled"))
                assert_paths_cannot_exist(written.out);
            else
                assert_int_equal(i, 1); /* a file that is named may be tried again, and be good */
            result_free(&written);
            result_free(&result);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_has_file_and_reason),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(errors_of_calls_are_escaped),
        cmocka_unit_test(no_path_that_can_exist_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
