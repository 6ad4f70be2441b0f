/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend's calls to its own public functions stay inside it: a tool above the preload sees the program's calls and
 * no others, and what replaces malloc still does.
 * NOT SANITIZED: a program brings a malloc of its own.
 */
#include "support.h"

#include <string.h>
#include <unistd.h>

static const char *const wheels[] = {"cu11-2.14.3", "cu12-2.18.3", "cu12-2.21.5", "cu12-2.24.3",
                                     "cu12-2.28.3", "cu12-2.30.7", "cu12-2.32.3"};

static struct result run_tool(enum preload preload, const char *tool, const char *path) {
    const char *folder = text("%.*s", (int)(strrchr(path, '/') - path), path);
    struct result result = run(
        preload,
        ENV(text("LD_PRELOAD=%s", library(tool)), text("NCCL_REDIRECT=%s", path), text("LD_LIBRARY_PATH=%s", folder)),
        CMD(program("linked_adapt_calls")));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    return result;
}

static void assert_program_only(const struct result *result) {
    assert_contains(result->out, "ncclBcast 1\n");
    assert_contains(result->out, "ncclBroadcast 0\n");
    assert_contains(result->out, "ncclGroupStart 1\n");
    assert_contains(result->out, "ncclGroupEnd 1\n");
    assert_contains(result->out, "ncclResetDebugInit 1\n");
    assert_contains(result->out, "ncclResetDebugInitInternal 0\n");
}

static void a_tool_sees_the_program_only(void **state) {
    unsigned seen = 0;
    (void)state;
    for (size_t i = 0; i < sizeof wheels / sizeof *wheels; i++) {
        const char *path = text("%s/%s/lib/libnccl.so.2", built("nccl"), wheels[i]);
        if (access(path, R_OK) != 0)
            continue;
        struct result result = run_tool(WITH_SHIM, "adapt_tool", path);
        assert_program_only(&result);
        result_free(&result);
        seen++;
    }
    assert_true(seen >= 3);
}

/* What it sees otherwise: the oldest one's ncclSend opens a group, the newest one's reset calls on. */
static void without_the_preload_it_sees_more(void **state) {
    (void)state;
    struct result result = run_tool(WITHOUT_SHIM, "adapt_tool", real_nccl("cu12-2.21.5"));
    assert_contains(result.out, "ncclBroadcast 1\n");
    assert_contains(result.out, "ncclGroupStart 2\n");
    result_free(&result);
    result = run_tool(WITHOUT_SHIM, "adapt_tool", real_nccl("cu12-2.32.3"));
    assert_contains(result.out, "ncclResetDebugInitInternal 1\n");
    result_free(&result);
}

static void a_table_that_is_read_only_is_repaired(void **state) {
    (void)state;
    struct result result = run_tool(WITH_SHIM, "adapt_tool", library("adapt_self_calls"));
    assert_program_only(&result);
    assert_string_equal(result.err, "");
    result_free(&result);
}

static void malloc_can_be_replaced(void **state) {
    (void)state;
    for (int preload = 0; preload < 2; preload++) {
        struct result result = run_tool((enum preload)preload, "adapt_malloc", real_nccl("cu12-2.21.5"));
        assert_contains(result.out, "mallocs seen");
        result_free(&result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tool_sees_the_program_only),
        cmocka_unit_test(without_the_preload_it_sees_more),
        cmocka_unit_test(a_table_that_is_read_only_is_repaired),
        cmocka_unit_test(malloc_can_be_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
