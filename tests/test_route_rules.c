/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NCCL_REDIRECT_RULES: another NCCL for single callers, communicators or opened files, without a change of the program.
 */
#include "owned.h"

#include <stdlib.h>
#include <string.h>

/* A library of this file name that makes communicators. */
static const char *maker(const char *file) {
    const char *path = text("%s/%s", fresh_folder(), file);
    copy_file(library("linked_maker"), path, -1);
    return text("MAKER=%s", path);
}

static const char *rules(const char *value) {
    return text("NCCL_REDIRECT_RULES=%s", value);
}

static const char *b(const char *pattern) {
    return rules(text("%s=%s", pattern, owned("23203")));
}

#define BY_B "maker version=23203; from:$MAKER,m=0; 23203 CommCount; count:m=0"
#define BY_A "maker version=22809; from:$MAKER,m=0; 22809 CommCount; count:m=0"

static void by_the_callers_file_name(void **state) {
    (void)state;
    static const char steps[] = "all:a from:$MAKER,m count:m version count:a";
    static const char made_by_b[] = "22809 CommInitAll; all:a=0; 23203 GetUniqueId; 23203 CommInitRank; " BY_B
                                    "; version=22809; 22809 CommCount; count:a=0";
    static const char made_by_a[] = "22809 CommInitAll; all:a=0; 22809 GetUniqueId; 22809 CommInitRank; " BY_A
                                    "; version=22809; 22809 CommCount; count:a=0";
    assert_transcript(ENV(maker("libmaker.so"), b("libmaker.so")), steps, made_by_b);
    assert_transcript(ENV(maker("libmaker.so.7"), b("libm[a-b]ker.*")), steps, made_by_b);
    assert_transcript(ENV(maker("libother.so"), b("libmaker.so")), steps, made_by_a);
    assert_transcript(ENV(maker("libmaker.so")), steps, made_by_a);
    /* The program itself, and not its libraries. */
    assert_transcript(ENV(maker("libmaker.so"), b("program")), "all:a from:$MAKER,m version",
                      "23203 CommInitAll; all:a=0; 22809 GetUniqueId; 22809 CommInitRank; maker version=22809; "
                      "from:$MAKER,m=0; version=23203");
}

static void the_first_rule_that_matches_counts(void **state) {
    (void)state;
    static const char steps[] = "from:$MAKER,m count:m";
    assert_transcript(ENV(maker("libmaker.so"), rules(text(" libx*=%s ; libmaker.so=%s ; *=%s;", owned("21803"),
                                                           owned("23203"), owned("21803")))),
                      steps, "23203 GetUniqueId; 23203 CommInitRank; " BY_B);
}

static void the_programs_own_choice_counts_more(void **state) {
    (void)state;
    assert_transcript(ENV(maker("libmaker.so"), b("libmaker.so")), "use:$C from:$MAKER,m use from:$MAKER,n",
                      "use:$C=0; 21803 GetUniqueId; 21803 CommInitRank; maker version=21803; from:$MAKER,m=0; "
                      "use=0; "
                      "23203 GetUniqueId; 23203 CommInitRank; maker version=23203; from:$MAKER,n=0");
}

/* The library is opened inside the group, and yet in it from its first call: one thread may make all ranks so. */
static void a_rule_that_first_matches_in_a_group(void **state) {
    (void)state;
    static const char *const when[] = {"NCCL_REDIRECT_BIND=start", "NCCL_REDIRECT_BIND=first-use"};
    for (int i = 0; i < 2; i++)
        assert_transcript(ENV(maker("libmaker.so"), b("libmaker.so"), when[i]), "start all:a from:$MAKER,m end end",
                          "start=0; 22809 GroupStart; 22809 CommInitAll; all:a=0; 23203 "
                          "GroupStart; 23203 GetUniqueId; "
                          "23203 CommInitRank; maker version=23203; from:$MAKER,m=0; 22809 "
                          "GroupEnd; 23203 GroupEnd; end=0; "
                          "end=5");
}

/* The unique id is made before anybody knows the name. */
static void by_the_communicators_name(void **state) {
    (void)state;
    assert_transcript(ENV(b("name:tp*")),
                      "id named:t,tp0 named:d,dp0 init:c scalable:s,tp1 count:t count:d count:c count:s",
                      "22809 GetUniqueId; 23203 GetUniqueId; id=0; 23203 CommInitRankConfig; named:t,tp0=0; "
                      "22809 CommInitRankConfig; named:d,dp0=0; 22809 CommInitRank; init:c=0; "
                      "23203 CommInitRankScalable; scalable:s,tp1=0; 23203 CommCount; count:t=0; 22809 "
                      "CommCount; count:d=0; "
                      "22809 CommCount; count:c=0; 23203 CommCount; count:s=0");
    assert_transcript(NO_ENV, "id named:t,tp0", "22809 GetUniqueId; id=0; 22809 CommInitRankConfig; named:t,tp0=0");
}

static void an_id_has_room_for_one_other_library(void **state) {
    (void)state;
    struct result result = owned_run(ENV(rules(text("name:tp*=%s;name:pp*=%s", owned("23203"), owned("21803")))),
                                     "id named:t,tp named:p,pp last");
    assert_contains(result.out, "23203 CommInitRankConfig\nnamed:t,tp=0\n");
    assert_contains(
        result.out,
        "named:p,pp=5\nlast=the unique ID was created by NCCL 2.32.3, but this rank joins with NCCL 2.18.3 (");
    assert_contains(result.out, "all name: rules must lead to the same NCCL");
    result_free(&result);
}

static void an_opened_path_can_mean_that_very_library(void **state) {
    (void)state;
    const char *both = rules(text("open:*/23203/*=%s;open:%s=%s", owned("23203"), owned("22809"), owned("22809")));
    assert_transcript(ENV(both), "dlopen:$A dlopen:$B dlopen:libnccl.so.2",
                      "dlopen:$A=22809; dlopen:$B=23203; dlopen:libnccl.so.2=22809");
    assert_transcript(NO_ENV, "dlopen:$A dlopen:$B", "dlopen:$A=22809; dlopen:$B=22809");
    /* Without a slash the pattern is about file names. */
    const char *other = text("%s/libnccl.so.vendor", fresh_folder());
    copy_file(owned("23203"), other, -1);
    assert_transcript(ENV(text("OTHER=%s", other), b("open:libnccl.so.v*")), "dlopen:$A dlopen:$OTHER",
                      "dlopen:$A=22809; dlopen:$OTHER=23203");
}

/* As vLLM's wrapper: each communicator opens a library path of its own, and takes all functions from that handle. */
static void two_communicators_of_a_ctypes_wrapper(void **state) {
    static const char code[] =
        "import ctypes, sys\n"
        "class Id(ctypes.Structure):\n"
        "    _fields_ = [('internal', ctypes.c_byte * 128)]\n"
        "class Wrapper:\n"
        "    def __init__(self, path):\n"
        "        self.lib, self.id, self.comm, version = ctypes.CDLL(path), Id(), "
        "ctypes.c_void_p(), ctypes.c_int()\n"
        "        self.lib.ncclCommInitRank.argtypes = [ctypes.c_void_p, ctypes.c_int, Id, "
        "ctypes.c_int]\n"
        "        codes = [self.lib.ncclGetVersion(ctypes.byref(version)), "
        "self.lib.ncclGetUniqueId(ctypes.byref(self.id)),\n"
        "                 self.lib.ncclCommInitRank(ctypes.byref(self.comm), 1, self.id, 0)]\n"
        "        print(version.value, codes)\n"
        "    def all_reduce(self, number):\n"
        "        here, there = ctypes.c_int(number), ctypes.c_int(-1)\n"
        "        code = self.lib.ncclAllReduce(ctypes.byref(here), ctypes.byref(there), 1, 2, 0, "
        "self.comm, None)\n"
        "        print(code, there.value)\n"
        "both = [Wrapper(path) for path in sys.argv[1:]]\n"
        "for i, wrapper in enumerate(both):\n"
        "    wrapper.all_reduce(10 + i)\n";
    (void)state;
    const char *const command[] = {"/usr/bin/python3", "-c", code, hostmem("plain"), hostmem("old"), NULL};
    const char *value =
        text("open:%s=%s;open:%s=%s", hostmem("plain"), hostmem("plain"), hostmem("old"), hostmem("old"));
    const char *redirect = text("NCCL_REDIRECT=%s", hostmem("plain"));
    struct result result = run(WITH_SHIM, ENV(redirect, rules(value)), command);
    assert_string_equal(result.out, "22809 [0, 0, 0]\n21803 [0, 0, 0]\n0 10\n0 11\n");
    result_free(&result);
    result = run(WITH_SHIM, ENV(redirect), command);
    assert_string_equal(result.out, "22809 [0, 0, 0]\n22809 [0, 0, 0]\n0 10\n0 11\n");
    result_free(&result);
}

static void what_is_no_rule_is_told_with_the_grammar(void **state) {
    static const char *const wrong[] = {"libmaker.so",           "=torch",   "a=", "a=cuda", "name:=torch",
                                        "a=relative/libnccl.so", "a=torch;b"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *bad = strrchr(wrong[i], ';') ? strrchr(wrong[i], ';') + 1 : wrong[i];
        struct result result = owned_run(ENV(rules(wrong[i])), "version last use:$B last");
        const char *grammar = text("NCCL_REDIRECT_RULES: \"%s\" is not a rule; write "
                                   "PATTERN=BACKEND, name:PATTERN=BACKEND or "
                                   "open:PATTERN=BACKEND, where BACKEND is torch, system, program or the "
                                   "absolute path of a libnccl.so.2, and semicolons "
                                   "between rules",
                                   bad);
        assert_contains(result.err, grammar);
        assert_contains(result.out, text("version=-1\nlast=NCCL is disabled by nccl-redirect: %s", grammar));
        assert_contains(result.out, "use:$B=2\nlast=nccl_redirect_use");
        result_free(&result);
    }
    /* Words as in NCCL_REDIRECT: any case. */
    struct result result = owned_run(ENV(rules("x=TORCH;y=System")), "version last");
    assert_contains(result.out, "version=22809\n");
    assert_lacks(result.err, "is not a rule");
    result_free(&result);
}

static void a_backend_that_cannot_be_opened_is_never_replaced(void **state) {
    (void)state;
    static const char why[] = "/nowhere/libnccl.so.2 (path, from NCCL_REDIRECT_RULES) does not exist";
    struct result result = owned_run(ENV(maker("libmaker.so"), rules("libmaker.so=/nowhere/libnccl.so.2")),
                                     "from:$MAKER,m last all:a version");
    assert_contains(result.out, text("from:$MAKER,m=2\nlast=NCCL_REDIRECT_RULES: the backend of "
                                     "the rule for \"libmaker.so\" "
                                     "cannot be used: %s",
                                     why));
    assert_contains(result.out, "22809 CommInitAll\nall:a=0\nversion=22809\n");
    result_free(&result);
    result = owned_run(ENV(rules("name:tp=/nowhere/libnccl.so.2")), "id named:t,tp named:d,dp");
    assert_contains(result.out, "named:t,tp=2\n22809 CommInitRankConfig\nnamed:d,dp=0\n");
    result_free(&result);
    result = owned_run(ENV(rules("open:*=/nowhere/libnccl.so.2")), "dlopen:$B");
    assert_contains(
        result.out,
        text(
            "dlerror=/proc/self/nccl-redirect: %s: NCCL_REDIRECT_RULES: the backend of the rule for \"*\" cannot be used: %s",
            owned("23203"), why));
    result_free(&result);
}

/* A rule can be met where the default cannot. */
static void the_default_may_be_disabled(void **state) {
    (void)state;
    assert_transcript(ENV("NCCL_REDIRECT=/nowhere/libnccl.so.2", maker("libmaker.so"), b("libmaker.so")),
                      "start from:$MAKER,m end count:m all:a",
                      "start=0; 23203 GroupStart; 23203 GetUniqueId; 23203 CommInitRank; maker version=23203; "
                      "from:$MAKER,m=0; 23203 GroupEnd; end=0; 23203 CommCount; count:m=0; all:a=2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_the_callers_file_name),
        cmocka_unit_test(the_first_rule_that_matches_counts),
        cmocka_unit_test(the_programs_own_choice_counts_more),
        cmocka_unit_test(a_rule_that_first_matches_in_a_group),
        cmocka_unit_test(by_the_communicators_name),
        cmocka_unit_test(an_id_has_room_for_one_other_library),
        cmocka_unit_test(an_opened_path_can_mean_that_very_library),
        cmocka_unit_test(two_communicators_of_a_ctypes_wrapper),
        cmocka_unit_test(what_is_no_rule_is_told_with_the_grammar),
        cmocka_unit_test(a_backend_that_cannot_be_opened_is_never_replaced),
        cmocka_unit_test(the_default_may_be_disabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
