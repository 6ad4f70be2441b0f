/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an older real NCCL lacks and nothing can replace: ncclInvalidUsage, a text with function, needed and present
 * version and file, and a group that launches nothing.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *since;
} functions[] = {
    {"ncclCommSplit", "2.18.1"},           {"ncclCommShrink", "2.27.3"},          {"ncclDevCommCreate", "2.28.3"},
    {"ncclCommRevoke", "2.28.7"},          {"ncclPutSignal", "2.29.2"},           {"ncclCommGrow", "2.29.2"},
    {"ncclCommSuspend", "2.29.7"},         {"ncclParamGetI64", "2.30.3"},         {"ncclSetEncryption", "2.32.3"},
    {"ncclCommQueryProperties", "2.29.2"}, {"ncclGetPeerDeviceLeInfo", "2.31.2"},
};

static struct result call(enum preload preload, const char *path, const char *name) {
    struct result result = run(preload, ENV(text("NCCL_REDIRECT=%s", path)), CMD(program("adapt_refused"), path, name));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    return result;
}

/* Versions as text compare as their parts do, while each part has as many digits as here. */
static bool lacks(const char *version, const char *since) {
    return strcmp(version, since) < 0;
}

static void assert_refused(const char *path, const char *name, const char *since, const char *present) {
    struct result result = call(WITH_SHIM, path, name);
    assert_contains(result.out, text("%s start 0 code 5 end ", name));
    assert_lacks(result.out, "end 0");
    const char *why = text("%s needs NCCL %s or newer; the active one is %s (%s)", name, since, present, path);
    assert_contains(result.out, why);
    assert_contains(result.err, text("warning: %s. The call returns ncclInvalidUsage\n", why));
    result_free(&result);
}

static void real_nccls_refuse_and_spoil_the_group(void **state) {
    static const char *const wheels[] = {"cu11-2.14.3", "cu12-2.21.5"};
    unsigned refused = 0;
    (void)state;
    for (size_t w = 0; w < 2; w++) {
        const char *path = real_nccl(wheels[w]), *present = wheels[w] + 5;
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            if (lacks(present, functions[i].since)) {
                assert_refused(path, functions[i].name, functions[i].since, present);
                refused++;
            }
    }
    assert_int_equal(refused, 21);
}

/* A wrong argument of what is emulated spoils the group as the backend's own check does. */
static void emulations_spoil_it_too(void **state) {
    static const char *const names[] = {"ncclAlltoAll", "ncclGather", "ncclScatterConfig", "ncclCommRegister",
                                        "ncclAllReduce"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct result result = call(WITH_SHIM, real_nccl("cu11-2.14.3"), names[i]);
        assert_contains(result.out, text("%s start 0 code 4 end 4: ", names[i]));
        result_free(&result);
    }
}

static void a_group_without_them_is_not_spoilt(void **state) {
    static const char *const names[] = {"ncclResetDebugInit", "ncclCommFinalize", "ncclTeamLsa"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct result result = call(WITH_SHIM, real_nccl("cu11-2.14.3"), names[i]);
        assert_contains(result.out, "end 0: ");
        result_free(&result);
    }
}

static void answers_without_a_code_say_what_they_are(void **state) {
    (void)state;
    struct result result = call(WITH_SHIM, real_nccl("cu12-2.21.5"), "ncclTeamRankToLsa");
    assert_contains(result.out, "code -1 ");
    assert_contains(result.err, ". The call returns -1\n");
    result_free(&result);
    result = call(WITH_SHIM, real_nccl("cu12-2.21.5"), "ncclTeamRail");
    assert_contains(result.err, ". The call returns an empty team\n");
    result_free(&result);
    result = call(WITH_SHIM, real_nccl("cu12-2.21.5"), "ncclParamDumpAll");
    assert_contains(result.err, ". The call does nothing\n");
    result_free(&result);
}

/* Without ncclSend there is nothing to build on. */
static void what_cannot_be_emulated_is_refused(void **state) {
    (void)state;
    struct result result = call(WITH_SHIM, hostmem("v20403"), "ncclAlltoAll");
    assert_contains(result.out, "code 5 end 4: ncclAlltoAll needs NCCL 2.28.3 or newer; the active "
                                "one is 2.4.3 (");
    result_free(&result);
}

static void without_the_shim_they_are_missing(void **state) {
    (void)state;
    struct result result = call(WITHOUT_SHIM, real_nccl("cu12-2.21.5"), "ncclCommShrink");
    assert_string_equal(result.out, "ncclCommShrink is missing\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_nccls_refuse_and_spoil_the_group),
        cmocka_unit_test(emulations_spoil_it_too),
        cmocka_unit_test(a_group_without_them_is_not_spoilt),
        cmocka_unit_test(answers_without_a_code_say_what_they_are),
        cmocka_unit_test(what_cannot_be_emulated_is_refused),
        cmocka_unit_test(without_the_shim_they_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
