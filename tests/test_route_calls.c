/* SPDX-License-Identifier: Apache-2.0 */
/* Two NCCLs in one process: the calls that are about no communicator, and a default that is disabled. */
#include "owned.h"

#include <stdlib.h>
#include <string.h>

#define A_AND_B "all:a use:$B all:b use "
#define MADE "22809 CommInitAll; all:a=0; use:$B=0; 23203 CommInitAll; all:b=0; use=0; "

static void the_version_is_what_a_new_communicator_would_get(void **state) {
    (void)state;
    assert_transcript(NO_ENV, "version use:$B version @version use version",
                      "version=22809; use:$B=0; version=23203; version=22809; use=0; version=22809");
}

static void the_last_error_is_that_of_the_threads_last_library(void **state) {
    (void)state;
    assert_transcript(ENV("OWNED_22809_CommCount=3", "OWNED_23203_CommCount=2"),
                      A_AND_B "count:a count:b last @count:a @last last last:a last:b",
                      MADE "22809 CommCount; count:a=3; 23203 CommCount; count:b=2; last=23203: CommCount failed; "
                           "last=0; "
                           "22809 CommCount; count:a=3; last=22809: CommCount failed; last=0; last=23203: CommCount "
                           "failed; "
                           "last=0; last=22809: CommCount failed; last:a=0; last=23203: CommCount failed; last:b=0");
    /* Asking for the text of a code, as error macros do first, changes nothing. */
    assert_transcript(ENV("OWNED_22809_CommCount=3", "OWNED_23203_CommCount=2"), A_AND_B "count:a count:b text:2 last",
                      MADE "22809 CommCount; count:a=3; 23203 CommCount; count:b=2; 23203 knows 2; text:2=0; "
                           "last=23203: CommCount failed; last=0");
}

static void debug_settings_are_reset_in_all(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "reset", MADE "22809 ResetDebugInit; 23203 ResetDebugInit; reset=0");
}

static void encryption_is_set_in_all_or_none(void **state) {
    (void)state;
    assert_transcript(NO_ENV, A_AND_B "encrypt", MADE "22809 SetEncryption; 23203 SetEncryption; encrypt=0");
    assert_transcript(ENV("OWNED_22809_SetEncryption=3"), A_AND_B "encrypt last",
                      MADE "22809 SetEncryption; 23203 SetEncryption; encrypt=3; last=22809: "
                           "SetEncryption failed; last=0");
    /* A library that comes later could not know. */
    assert_transcript(NO_ENV, "encrypt use:$B last version",
                      "22809 SetEncryption; encrypt=0; use:$B=2; last=nccl_redirect_use(\"$B\"): "
                      "ncclSetEncryption has been called "
                      "already, and $B would not encrypt; last=0; version=22809");
}

static void calls_about_nothing_made_follow_the_choice(void **state) {
    (void)state;
    assert_transcript(NO_ENV, "use:$B param @param use param",
                      "use:$B=0; 23203 ParamBind; param=0; 22809 ParamBind; param=0; use=0; 22809 "
                      "ParamBind; param=0");
}

static void an_id_of_the_other_library_is_refused(void **state) {
    (void)state;
    struct result result = owned_run(NO_ENV, "id use:$B init:c last use init:c");
    assert_contains(result.out, "init:c=5\nlast=NCCL mismatch: this rank uses NCCL 2.32.3 on ");
    assert_contains(result.out, "NCCL 2.28.9 on ");
    assert_contains(result.out, "Let nccl_redirect_use() or NCCL_REDIRECT_RULES choose the same "
                                "for ncclGetUniqueId and on all "
                                "ranks; NCCL_REDIRECT_TAG=0 turns this check off");
    assert_contains(result.out, "22809 CommInitRank\ninit:c=0\n");
    result_free(&result);
    /* Without the check the library itself notices here; a real one may wait for ever. */
    result = owned_run(ENV("NCCL_REDIRECT_TAG=0"), "id use:$B init:c");
    assert_contains(result.out, "23203 FOREIGN id of 22809\ninit:c=4\n");
    result_free(&result);
}

/* A process whose default is disabled can still use another. */
static void the_default_may_be_disabled(void **state) {
    (void)state;
    struct result result =
        owned_run(ENV("NCCL_REDIRECT=/nowhere/libnccl.so.2"), "all:a version last info use:$B info version all:b start "
                                                              "reduce:b count:a end reset alloc:m free:m use all:c "
                                                              "last text:2 alloc:n count:c use:$B dlopen:libnccl.so.2");
    assert_contains(result.out, "all:a=2\n");
    assert_contains(result.out, "version=-1\nlast=NCCL is disabled by nccl-redirect: /nowhere/libnccl.so.2");
    assert_contains(result.out, "version=0 backends=0 kind=none bound=never path= missing= why=NCCL is disabled");
    assert_contains(result.out, text("version=23203 backends=1 kind=path bound=chosen path=%s", owned("23203")));
    assert_contains(result.out, "version=23203\n23203 CommInitAll\nall:b=0\nstart=0\n23203 GroupStart\n23203 "
                                "AllReduce\nreduce:b=0\n"
                                "count:a=2\n23203 GroupEnd\nend=0\n23203 ResetDebugInit\nreset=0\n23203 "
                                "MemAlloc\nalloc:m=0\n"
                                "23203 MemFree\nfree:m=0\nuse=0\nall:c=2\nlast=NCCL is disabled by nccl-redirect");
    assert_contains(result.out, "NCCL is disabled; ncclGetLastError tells more\ntext:2=0\nalloc:n=2\n"
                                "count:c=2\nuse:$B=0\ndlopen:libnccl.so.2=23203\n");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_version_is_what_a_new_communicator_would_get),
        cmocka_unit_test(the_last_error_is_that_of_the_threads_last_library),
        cmocka_unit_test(debug_settings_are_reset_in_all),
        cmocka_unit_test(encryption_is_set_in_all_or_none),
        cmocka_unit_test(calls_about_nothing_made_follow_the_choice),
        cmocka_unit_test(an_id_of_the_other_library_is_refused),
        cmocka_unit_test(the_default_may_be_disabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
