/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where NCCL is not used the shim maps one small file and does nothing: but for one look at what stderr is (a later line
 * must not land in a file that takes its place) no system call differs from those with an empty preload, so no file is
 * opened and no thread is made.
 * NOT SANITIZED: it counts the system calls of other programs.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As strace writes it, numbers taken out. */
#define LOOK_AT_STDERR "fstat(N, {st_mode=S_IFIFO"

static const char *strace(void) {
    static const char installed[] = "/usr/bin/strace";
    return access(installed, X_OK) == 0 ? installed : built("packages/usr/bin/strace");
}

/* Every system call of the program, one a line; addresses, sizes and process numbers taken out. */
static const char *calls(const char *preload, const char *const *command) {
    const char *trace = text("%s/trace", fresh_folder());
    const char *arguments[32] = {strace(),
                                 "-f",
                                 "-qq",
                                 "-o",
                                 trace,
                                 "-E",
                                 text("LD_PRELOAD=%s", preload),
                                 "-E",
                                 text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5"))};
    for (size_t i = 9; *command; i++)
        arguments[i] = *command++;
    struct result result = run(WITHOUT_SHIM, NO_ENV, arguments);
    assert_int_equal(result.status, 0);
    result_free(&result);
    result = run(WITHOUT_SHIM, NO_ENV,
                 CMD("/bin/sed", "-E",
                     text("s|^[0-9]+ +||; s|%s|PRELOAD|g; s|0x[0-9a-f]+|ADDRESS|g; s|[0-9]+|N|g", preload), trace));
    return result.out; /* lives until the test ends */
}

static unsigned count(const char *all, const char *part) {
    unsigned found = 0;
    for (const char *at = all; (at = strstr(at, part)); at++)
        found++;
    return found;
}

/* Lines that are in both or not: only what maps the preload's own segments may differ, and the look at stderr. */
static const char *without_own_calls(const char *all) {
    char *kept = calloc(1, strlen(all) + 1);
    for (const char *line = all; *line;) {
        size_t length = strcspn(line, "\n") + 1;
        if (strncmp(line, "mmap(", 5) != 0 && strncmp(line, "mprotect(", 9) != 0 && strncmp(line, "munmap(", 7) != 0 &&
            strncmp(line, LOOK_AT_STDERR, strlen(LOOK_AT_STDERR)) != 0)
            strncat(kept, line, length);
        line += length;
    }
    return kept;
}

static void the_system_calls_are_those_of_an_empty_preload(void **state) {
    (void)state;
    const char *with_shim = calls(shim(), CMD("/bin/true"));
    const char *with_empty = calls(library("empty"), CMD("/bin/true"));
    assert_contains(with_shim, "PRELOAD");
    assert_string_equal(without_own_calls(with_shim), without_own_calls(with_empty));
    assert_int_equal(count(with_shim, "openat("), count(with_empty, "openat("));
    assert_int_equal(count(with_shim, LOOK_AT_STDERR), count(with_empty, LOOK_AT_STDERR) + 1);
}

static void forks_of_a_shell_open_no_more(void **state) {
    (void)state;
    const char *const *command = CMD("/bin/bash", "-c", "(true); /bin/true | /bin/cat");
    const char *with_shim = calls(shim(), command), *with_empty = calls(library("empty"), command);
    assert_true(count(with_shim, "execve(") == 3);
    assert_int_equal(count(with_shim, "openat("), count(with_empty, "openat("));
    assert_int_equal(count(with_shim, "newfstatat("), count(with_empty, "newfstatat("));
    assert_int_equal(count(with_shim, "clone("), count(with_empty, "clone("));
    assert_int_equal(count(with_shim, "futex("), count(with_empty, "futex("));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_calls_are_those_of_an_empty_preload),
        cmocka_unit_test(forks_of_a_shell_open_no_more),
    };
    if (access(strace(), X_OK) != 0) {
        printf("there is no strace; apt-get install strace\n");
        return NCR_SKIP;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
