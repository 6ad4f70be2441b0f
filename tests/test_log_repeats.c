/* SPDX-License-Identifier: Apache-2.0 */
/* A program that retries for ever fills neither the log nor its memory with the same error. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned lines_of(const char *text) {
    unsigned lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* Runs 4000 rounds; `lines` of the process and those of the child that it forks, `last` is in its newest error. */
static char *expect(const char *name, const char *redirect, unsigned lines, unsigned childs, const char *last) {
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", redirect), "NCCL_REDIRECT_REQUIRE=>=2"),
                               CMD(program("linked_loop"), name, "4000"));
    assert_int_equal(result.status, 0);
    assert_contains(result.out, "more ");
    long more = atol(strstr(result.out, "more ") + 5);
    if (more > 4000)
        fail_msg("%s: 2000 rounds leave %ld bytes", name, more);
    assert_contains(strstr(result.out, "last "), last);
    if (lines_of(result.err) != lines + childs)
        fail_msg("%s: %u lines, wanted %u:\n%s", name, lines_of(result.err), lines + childs, result.err);
    char *err = strdup(result.err);
    result_free(&result);
    return err;
}

static void a_line_is_written_once_and_then_counted(void **state) {
    (void)state;
    char *err = expect("use", hostmem("plain"), 2 + 3, 1, "/none/b.so");
    assert_contains(err, "/none/a.so (path, from nccl_redirect_use) does not exist\n");
    assert_contains(err, "/none/b.so (path, from nccl_redirect_use) does not exist\n");
    assert_contains(err, "does not exist (1000 such lines so far; repeated ones are left out)\n");
    free(err);
}

static void lines_of_one_kind_are_counted_together(void **state) {
    (void)state;
    char *err = expect("another", hostmem("plain"), 16 + 2, 1, "/none/3999.so");
    assert_contains(err, "/none/15.so (path");
    assert_lacks(err, "/none/16.so (path");
    assert_contains(err, "/none/999.so (path, from nccl_redirect_use) does not exist (1000 such lines so far");
    free(err);
}

static void a_function_that_the_backend_lacks(void **state) {
    (void)state;
    free(expect("lacking", hostmem("plain"), 1, 0, "ncclPutSignal needs NCCL 2.29.2 or newer"));
}

static void a_library_that_cannot_be_opened(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV("NCCL_REDIRECT_REQUIRE=>=9", "NCCL_REDIRECT_BIND=first-use"),
                               CMD(program("linked_loop"), "dlopen", "4000"));
    long more = atol(strstr(result.out, "more ") + 5);
    if (more > 4000)
        fail_msg("2000 rounds leave %ld bytes", more);
    assert_int_equal(lines_of(result.err), 1); /* at the first call */
    assert_contains(result.out, "last NCCL is disabled by nccl-redirect: ");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_written_once_and_then_counted),
        cmocka_unit_test(lines_of_one_kind_are_counted_together),
        cmocka_unit_test(a_function_that_the_backend_lacks),
        cmocka_unit_test(a_library_that_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
