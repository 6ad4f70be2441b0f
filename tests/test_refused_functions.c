/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the backend lacks, or that have no backend at all: answered in kind, and ncclGetLastError says why. */
#include "trees.h"

static struct result ask(const char *redirect) {
    return run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", redirect)), CMD(program("linked_answers")));
}

static void what_an_older_nccl_lacks(void **state) {
    (void)state;
    struct result result = ask(TORCH_NCCL);
    const char *needs = text("needs NCCL 2.27.3 or newer; the active one is 2.21.5 (%s)", TORCH_NCCL);
    assert_contains(result.out, text("shrink code=5 | ncclCommShrink last=\"ncclCommShrink %s\"\n", needs));
    assert_contains(result.out, text("pshrink code=5 | pncclCommShrink last=\"ncclCommShrink %s\"\n", needs));
    assert_contains(result.out, text("void | ncclParamDumpAll last=\"ncclParamDumpAll needs NCCL 2.30.3 or newer; "
                                     "the active one is 2.21.5 (%s)\"\n",
                                     TORCH_NCCL));
    assert_contains(result.out, "team 0,0,0 | ncclTeamRail last=\"ncclTeamRail needs NCCL 2.28.3 or newer;");
    assert_contains(result.out, "number -1 | ncclTeamRankToLsa last=\"ncclTeamRankToLsa needs NCCL 2.28.3 or newer;");
    assert_contains(result.out, text("rccl code=5 | ncclAllToAllv last=\"ncclAllToAllv is an RCCL function; the active "
                                     "library is NCCL 2.21.5 (%s)\"\n",
                                     TORCH_NCCL));
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* Another backend, another answer: the text is no constant. */
static void what_a_newer_nccl_has(void **state) {
    (void)state;
    const char *const *call = CMD(program("call_one"), "ncclCommSuspend");
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", SYSTEM_NCCL)), call);
    assert_contains(result.out, "code=4 last=\"ncclCommSuspend : comm argument is NULL\""); /* NCCL itself */
    assert_lacks(result.out, "needs NCCL");
    result_free(&result);
    result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", NAMED_NCCL)), call);
    assert_contains(result.out, text("code=5 last=\"ncclCommSuspend needs NCCL 2.29.7 or newer; "
                                     "the active one is 2.14.3 (%s)\"",
                                     NAMED_NCCL));
    result_free(&result);
}

static void the_backends_own_newer_error_wins(void **state) {
    (void)state;
    /* Over host memory ncclCommCount(NULL) leaves a text of its own; 2.18.3 lacks ncclCommShrink. */
    struct result result = ask(hostmem("old"));
    assert_contains(result.out, "shrink code=5 | ncclCommShrink last=\"ncclCommShrink needs NCCL 2.27.3 or newer; the "
                                "active one is 2.18.3 (/");
    assert_contains(result.out, "count code=4 | ncclCommCount last=\"");
    assert_lacks(result.out, "ncclCommCount last=\"ncclAllToAllv");
    assert_lacks(result.out, "ncclCommCount last=\"\"");
    result_free(&result);
}

/* A build of NCCL that leaves a function out, although its version has it. */
static void what_this_very_build_lacks(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", hostmem("lacks-split"))),
                               CMD(program("call_one"), "ncclCommSplit"));
    assert_contains(result.out, text("code=5 last=\"ncclCommSplit is missing in NCCL 2.28.9 (%s), although NCCL has "
                                     "had it since 2.18.1\"",
                                     hostmem("lacks-split")));
    result_free(&result);
}

static void one_line_for_each_function(void **state) {
    (void)state;
    struct result result = ask(TORCH_NCCL);
    assert_contains(result.err, "warning: ncclCommShrink needs NCCL 2.27.3 or newer");
    assert_contains(result.err, "The call returns ncclInvalidUsage");
    assert_lines(result.err, 5); /* shrink, reset, world, rank, all-to-all-v; the alias is the same function */
    result_free(&result);
}

static void without_any_backend(void **state) {
    (void)state;
    struct result result = ask("/nonexistent/libnccl.so.2");
    const char *why = "last=\"NCCL is disabled by nccl-redirect: /nonexistent/libnccl.so.2 (path, "
                      "from NCCL_REDIRECT) does "
                      "not exist\"";
    assert_contains(result.out, text("version code=2 version=-1 | ncclGetVersion %s\n", why));
    assert_contains(result.out, text("shrink code=2 | ncclCommShrink %s\n", why));
    assert_contains(result.out, text("void | ncclParamDumpAll %s\n", why));
    assert_contains(result.out, text("team 0,0,0 | ncclTeamRail %s\n", why));
    assert_contains(result.out, text("number -1 | ncclTeamRankToLsa %s\n", why));
    assert_contains(result.out, "text \"NCCL is disabled");
    assert_one_line(result.err);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_older_nccl_lacks),          cmocka_unit_test(what_a_newer_nccl_has),
        cmocka_unit_test(the_backends_own_newer_error_wins), cmocka_unit_test(what_this_very_build_lacks),
        cmocka_unit_test(one_line_for_each_function),        cmocka_unit_test(without_any_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
