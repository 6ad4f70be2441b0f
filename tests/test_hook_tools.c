/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tools that stack above the shim, by RTLD_NEXT or by pncclX, see each of the program's calls once, and the chosen
 * backend is called below them.
 */
#include "support.h"

static const char done[] = "id=0 init=0 wrong=0 sum=42 destroy=0\n";

static void check(enum preload preload, const char *preloads, const char *expected) {
    struct result result =
        run(preload, ENV(text("NCCL_REDIRECT=%s", hostmem("plain")), preloads), CMD(program("linked_reduce")));
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, expected);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void no_tool(void **state) {
    (void)state;
    check(WITH_SHIM, "A=", done);
}

static void by_the_next_definition(void **state) {
    (void)state;
    check(WITH_SHIM, text("LD_PRELOAD=%s", library("next_tool")), text("tool: 3 reductions, 0 broadcasts\n%s", done));
}

static void by_the_alias(void **state) {
    (void)state;
    check(WITH_SHIM, text("LD_PRELOAD=%s", library("linked_alias_tool")), text("alias tool: 3 reductions\n%s", done));
}

static void both(void **state) {
    (void)state;
    check(WITH_SHIM, text("LD_PRELOAD=%s:%s", library("next_tool"), library("linked_alias_tool")),
          text("tool: 3 reductions, 0 broadcasts\nalias tool: 3 reductions\n%s", done));
}

/* ncclBcast calls ncclBroadcast inside NCCL: that one is not the program's. Without the shim the tool sees it. */
static void what_nccl_calls_itself_is_not_the_programs(void **state) {
    (void)state;
    const char *real = real_nccl("cu12-2.21.5"), *tool = text("LD_PRELOAD=%s", library("next_tool"));
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", real), tool), CMD(program("linked_bcast")));
    assert_string_equal(result.out, "tool: 0 reductions, 0 broadcasts\ncode=4\n");
    result_free(&result);
    const char *path = text("LD_LIBRARY_PATH=%s/cu12-2.21.5/lib", built("nccl"));
    result = run(WITHOUT_SHIM, ENV(path, tool), CMD(program("linked_bcast")));
    assert_string_equal(result.out, "tool: 0 reductions, 1 broadcasts\ncode=4\n");
    result_free(&result);
}

/* A tool behind the shim is not on the way: the shim has the names already. */
static void a_tool_below_sees_nothing(void **state) {
    (void)state;
    check(WITHOUT_SHIM, text("LD_PRELOAD=%s:%s", shim(), library("next_tool")),
          text("tool: 0 reductions, 0 broadcasts\n%s", done));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_tool),
        cmocka_unit_test(by_the_next_definition),
        cmocka_unit_test(by_the_alias),
        cmocka_unit_test(both),
        cmocka_unit_test(what_nccl_calls_itself_is_not_the_programs),
        cmocka_unit_test(a_tool_below_sees_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
