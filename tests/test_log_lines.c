/* SPDX-License-Identifier: Apache-2.0 */
/* The log: which level writes what, never stdout, nothing by default, and whole lines from many processes at once. */
#include "trees.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *redirect, *broken_first;

static int set_up(void **state) {
    (void)state;
    redirect = text("NCCL_REDIRECT=%s", TORCH_NCCL);
    const char *broken = fresh_folder();
    write_file(text("%s/libnccl.so.2", broken), "x\n");
    broken_first = text("LD_LIBRARY_PATH=%s:%s:%s", fresh_folder(), broken, folder_with("libnccl.so.2", SYSTEM_NCCL));
    return 0;
}

static void nothing_on_success(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(redirect), CMD(program("linked_version")));
    struct result direct = run(WITHOUT_SHIM, ENV(text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", TORCH_NCCL))),
                               CMD(program("linked_version")));
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, direct.out);
    result_free(&result);
    result_free(&direct);
}

/* Which of the four kinds of line a level lets through. */
static void levels(void **state) {
    static const struct {
        const char *level;
        bool error, warning, info, debug;
    } cases[] = {
        {"off", false, false, false, false}, {"error", true, false, false, false}, {"warn", true, true, false, false},
        {"info", true, true, true, false},   {"debug", true, true, true, true},    {"", true, true, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result = run(WITH_SHIM,
                                   ENV(text("NCCL_REDIRECT_LOG=%s", cases[i].level), broken_first,
                                       "NCCL_REDIRECT=system", "NCCL_REDIRECT_BIND=never", "NCCL_REDIRECT_UNKNOWN=1"),
                                   C_PROGRAM);
        assert_contains_at(result.err, ": error: NCCL_REDIRECT_BIND=\"never\" is not valid", cases[i].error, __FILE__,
                           __LINE__);
        assert_contains_at(result.err, ": warning: unknown variable NCCL_REDIRECT_UNKNOWN ignored", cases[i].warning,
                           __FILE__, __LINE__);
        assert_contains_at(result.err, ": info: passed over: /", cases[i].info, __FILE__, __LINE__);
        assert_contains_at(result.err, ": info: NCCL 2.32.3 is active: /", cases[i].info, __FILE__, __LINE__);
        assert_contains_at(result.err, ": debug: not found: /", cases[i].debug, __FILE__, __LINE__);
        assert_string_equal(result.out, text("libnccl.so.2: version=%d code=0\n", SYSTEM_VERSION));
        result_free(&result);
    }
}

static void nccl_debug_prints_the_one_line(void **state) {
    static const struct {
        const char *debug, *level;
        unsigned lines;
    } cases[] = {
        {"VERSION", "warn", 1}, {"version", "error", 1}, {"INFO", "warn", 1},
        {"VERSION", "off", 0},  {"NONE", "warn", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result =
            run(WITH_SHIM,
                ENV(redirect, text("NCCL_DEBUG=%s", cases[i].debug), text("NCCL_REDIRECT_LOG=%s", cases[i].level)),
                C_PROGRAM);
        assert_lines(result.err, cases[i].lines);
        if (cases[i].lines)
            assert_contains(result.err, text(": info: NCCL 2.21.5 is active: %s (path, "
                                             "from NCCL_REDIRECT; decided by %s), build 2e87d0e7\n",
                                             TORCH_NCCL, redirect));
        assert_lacks(result.out, "nccl-redirect");
        result_free(&result);
    }
}

/* "nccl-redirect: HOST:PID: level: …" and not a byte of another line in between. */
static void assert_whole(const char *line, size_t length) {
    const char *end = line + length, *serves = strstr(line, ": info: NCCL 2.21.5 is active: /");
    assert_int_equal(strncmp(line, "nccl-redirect: ", 15), 0);
    assert_true(serves && serves < end);
    assert_null(memmem(line + 1, length - 1, "nccl-redirect: ", 15));
    const char *tail = text("decided by %s), build 2e87d0e7", redirect);
    assert_int_equal(strncmp(end - strlen(tail), tail, strlen(tail)), 0);
}

static void lines_of_many_processes_do_not_mix(void **state) {
    (void)state;
    const char *log = text("%s/log", fresh_folder());
    const char *many = text("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do %s "
                            "libnccl.so.2 >/dev/null & "
                            "done; wait",
                            program("open_nccl"));
    const char *const to_file = text("NCCL_REDIRECT_LOG_FILE=%s", log), *const files[] = {"X=1", to_file};
    for (int i = 0; i < 2; i++) {
        struct result result =
            run(WITH_SHIM, ENV(redirect, "NCCL_REDIRECT_LOG=info", files[i]), CMD("/bin/sh", "-c", many));
        struct result read = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/cat", log));
        const char *lines = i == 0 ? result.err : read.out;
        assert_lines(lines, 20);
        for (const char *line = lines; *line; line = strchr(line, '\n') + 1)
            assert_whole(line, (size_t)(strchr(line, '\n') - line));
        result_free(&read);
        result_free(&result);
    }
}

static void an_event_is_one_line_whatever_a_path_has(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV("NCCL_REDIRECT=/no\nsuch\tfile"), CMD(program("linked_version")));
    assert_one_line(result.err);
    assert_contains(result.err, "Tried: /no\\nsuch\\tfile (path, from NCCL_REDIRECT) does not exist");
    result_free(&result);
}

/* A reader of stderr that has gone away raises SIGPIPE at the next line; the program must not die of ours. */
static void a_closed_pipe_does_not_end_the_program(void **state) {
    (void)state;
    const char *line = text("exec 3>&1; { sleep 0.2; %s libnccl.so.2 2>&1 >&3 3>&-; echo status=$? >&3; } | true",
                            program("open_nccl"));
    struct result result = run(WITH_SHIM, ENV(redirect, "NCCL_REDIRECT_LOG=debug"), CMD("/bin/bash", "-c", line));
    assert_contains(result.out, text("version=%d", TORCH_VERSION));
    assert_contains(result.out, "status=0");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_on_success),
        cmocka_unit_test(levels),
        cmocka_unit_test(nccl_debug_prints_the_one_line),
        cmocka_unit_test(lines_of_many_processes_do_not_mix),
        cmocka_unit_test(an_event_is_one_line_whatever_a_path_has),
        cmocka_unit_test(a_closed_pipe_does_not_end_the_program),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
