/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A failure that passes does not disable NCCL for ever, and lack of memory never ends the program nor gives it another
 * NCCL: what failed is tried again at the next call.
 * NOT SANITIZED: a malloc that fails takes the place of the sanitizer's.
 */
#include "trees.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *torch_here, *system_here, *no_python;

static int set_up(void **state) {
    (void)state;
    const char *venv = make_venv(false);
    make_torch(site_of(venv));
    make_wheel(site_of(venv), hostmem("old"));
    torch_here = text("VIRTUAL_ENV=%s", venv);
    system_here = text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", hostmem("plain")));
    no_python = text("PATH=%s", fresh_folder());
    return 0;
}

static int number_after(const char *all, const char *name) {
    const char *at = strstr(all, name);
    assert_non_null(at);
    return atoi(at + strlen(name));
}

/* Every allocation of a decision fails once; a few more failures, and the dynamic loader itself ends the process. */
static void every_allocation_fails_once(void **state) {
    (void)state;
    const struct {
        const char *choice;
        int version;
    } cases[] = {{"NCCL_REDIRECT=auto", 21803},
                 {"NCCL_REDIRECT=system", 22809},
                 {text("NCCL_REDIRECT=%s", hostmem("old")), 21803}};
    static const char *const ways[] = {"one", "all"};
    for (size_t i = 0; i < 6; i++) {
        const char *const *environment = ENV(text("LD_PRELOAD=%s", library("fail_malloc")), torch_here, system_here,
                                             cases[i / 2].choice, "NCCL_REDIRECT_LOG=off");
        struct result result =
            run(WITH_SHIM, environment, CMD(program("out_of_memory"), text("%d", cases[i / 2].version), ways[i % 2]));
        int runs = number_after(result.out, "runs=");
        if (strstr(result.out, "allocation "))
            show(&result);
        assert_in_range(runs, 20, 4000);
        assert_int_equal(number_after(result.out, "ended="), 0);
        assert_int_equal(number_after(result.out, "wrong="), 0);
        assert_int_equal(number_after(result.out, "later="), runs);
        print_message("%s, %s: %d allocations, NCCL was opened at once in %d\n", cases[i / 2].choice, ways[i % 2], runs,
                      number_after(result.out, "opened="));
        result_free(&result);
    }
}

/* "ulimit" of the shell holds for the first dlopen; the program raises it then. */
static void no_descriptor_is_free(void **state) {
    (void)state;
    const char *const choices[] = {"NCCL_REDIRECT=auto", "NCCL_REDIRECT=system",
                                   text("NCCL_REDIRECT=%s", hostmem("plain"))};
    for (size_t i = 0; i < 3; i++) {
        struct result result =
            run(WITH_SHIM, ENV(no_python, system_here, choices[i]), CMD(program("few_descriptors"), "libnccl.so.2"));
        assert_contains(result.out, "first: dlopen fails\nlater: version=22809\n");
        result_free(&result);
        result = run(WITH_SHIM, ENV(no_python, system_here, choices[i], "NCCL_REDIRECT_BIND=first-use"),
                     CMD(program("linked_few_descriptors")));
        assert_contains(result.out, "first: code=2\nlater: version=22809\n");
        result_free(&result);
    }
    /* What does not pass is not tried again. */
    struct result result = run(WITH_SHIM, ENV(no_python, "NCCL_REDIRECT=/nonexistent/libnccl.so.2"),
                               CMD(program("few_descriptors"), "libnccl.so.2"));
    assert_contains(result.out, "first: dlopen fails\nlater: dlopen fails\n");
    assert_contains(result.err,
                    "no NCCL can be selected: no free file descriptor. NCCL calls return ncclSystemError, and "
                    "each of them tries again");
    assert_contains(result.err, "/nonexistent/libnccl.so.2 (path, from NCCL_REDIRECT) does not exist");
    assert_lines(result.err, 2);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(no_descriptor_is_free),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
