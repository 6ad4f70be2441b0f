/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NCCL_REDIRECT_LOG_FILE: names with %h and %p, lines added to what is there, and what happens where it cannot be
 * written.
 */
#include "trees.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *redirect;

static int set_up(void **state) {
    (void)state;
    redirect = text("NCCL_REDIRECT=%s", TORCH_NCCL);
    return 0;
}

static const char *content(const char *path) {
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/cat", path));
    const char *all = text("%s", result.out);
    result_free(&result);
    return all;
}

static struct result run_with(const char *log_file) {
    return run(WITH_SHIM, ENV(redirect, "NCCL_REDIRECT_LOG=info", text("NCCL_REDIRECT_LOG_FILE=%s", log_file)),
               C_PROGRAM);
}

static void lines_are_added(void **state) {
    (void)state;
    const char *log = text("%s/log", fresh_folder());
    for (unsigned i = 1; i <= 2; i++) {
        struct result result = run_with(log);
        assert_string_equal(result.err, "");
        assert_string_equal(result.out, text("libnccl.so.2: version=%d code=0\n", TORCH_VERSION));
        assert_lines(content(log), i);
        assert_contains(content(log), "info: NCCL 2.21.5 is active");
        result_free(&result);
    }
}

static void host_and_process_in_the_name(void **state) {
    (void)state;
    struct utsname host;
    uname(&host);
    const char *folder = fresh_folder();
    struct result result = run(
        WITH_SHIM, ENV(redirect, "NCCL_REDIRECT_LOG=info", text("NCCL_REDIRECT_LOG_FILE=%s/%%h-%%p-%%x%%.log", folder)),
        CMD("/bin/sh", "-c", text("echo $$; exec %s libnccl.so.2", program("open_nccl"))));
    const char *log = text("%s/%s-%.*s-%%x%%.log", folder, host.nodename, (int)strcspn(result.out, "\n"), result.out);
    assert_contains(content(log),
                    text("nccl-redirect: %s:%.*s: info: ", host.nodename, (int)strcspn(result.out, "\n"), result.out));
    assert_string_equal(result.err, "");
    result_free(&result);
}

static void not_writable(void **state) {
    (void)state;
    const char *directory = fresh_folder(), *fifo = text("%s/fifo", fresh_folder());
    assert_int_equal(mkfifo(fifo, 0644), 0);
    const char *const cases[][2] = {
        {text("%s/none/log", directory), "No such file or directory"},
        {directory, "Is a directory"},
        {fifo, "No such device or address"}, /* nobody reads it: no reason to wait */
        {"/dev/full/x", "Not a directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result = run_with(cases[i][0]);
        assert_contains(result.out, text("version=%d", TORCH_VERSION));
        assert_contains(result.err, text("is active: %s", TORCH_NCCL)); /* on stderr instead */
        assert_contains(result.err,
                        text("(and NCCL_REDIRECT_LOG_FILE cannot be written: \"%s\", %s)\n", cases[i][0], cases[i][1]));
        assert_one_line(result.err);
        assert_int_equal(result.status, 0);
        result_free(&result);
    }
    struct result result = run_with("/dev/full"); /* opens, but takes nothing */
    assert_contains(result.out, text("version=%d", TORCH_VERSION));
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void no_file_without_a_line(void **state) {
    (void)state;
    const char *log = text("%s/log", fresh_folder());
    struct result result = run(WITH_SHIM, ENV(redirect, text("NCCL_REDIRECT_LOG_FILE=%s", log)), C_PROGRAM);
    assert_int_equal(access(log, F_OK), -1);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_added),
        cmocka_unit_test(host_and_process_in_the_name),
        cmocka_unit_test(not_writable),
        cmocka_unit_test(no_file_without_a_line),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
