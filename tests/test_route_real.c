/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two real NCCLs, 2.21.5 and 2.32.3, in one process. Without a GPU they answer versions, ids and texts, and fail apart.
 */
#include "support.h"

#include <string.h>

static struct result both(const char *const *more, const char *const *steps) {
    const char *command[32] = {program("linked_script")}, *environment[8];
    unsigned count = 0;
    environment[count++] = text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5"));
    environment[count++] = text("A=%s", real_nccl("cu12-2.21.5"));
    environment[count++] = text("B=%s", real_nccl("cu12-2.32.3"));
    environment[count++] = "CUDA_VISIBLE_DEVICES="; /* the same where there is a GPU */
    for (; *more; more++)
        environment[count++] = *more;
    environment[count] = NULL;
    for (unsigned i = 0; steps[i] && i < 30; i++)
        command[i + 1] = steps[i];
    struct result result = run(WITH_SHIM, environment, command);
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    return result;
}

static void each_answers_for_itself(void **state) {
    (void)state;
    struct result result =
        both(NO_ENV, CMD("version", "id", "use:$B", "version", "id", "text:6", "use", "version", "info"));
    assert_contains(result.out, "version=22105\nid=0\nuse:$B=0\nversion=23203\nid=0\n");
    assert_contains(result.out, "text:6=0\nuse=0\nversion=22105\nversion=22105 backends=2 kind=path bound=start");
    assert_contains(result.out, "missing=ncclGroupSimulateEnd ncclCommInitRankScalable ");
    result_free(&result);
}

/* The tag of an id says whose it is: the other one does not join. */
static void an_id_is_good_for_its_maker_only(void **state) {
    (void)state;
    struct result result = both(NO_ENV, CMD("id", "use:$B", "init:c", "last"));
    assert_contains(result.out, "init:c=5\nlast=NCCL mismatch: this rank uses NCCL 2.32.3 on ");
    result_free(&result);
    result = both(NO_ENV, CMD("use:$B", "id", "use", "init:c", "last"));
    assert_contains(result.out, "init:c=5\nlast=NCCL mismatch: this rank uses NCCL 2.21.5 on ");
    result_free(&result);
    /* Its own one passes that check, and fails where a GPU is needed. */
    result = both(NO_ENV, CMD("use:$B", "id", "init:c", "use", "id", "init:d"));
    assert_contains(result.out, "init:c=1\n");
    assert_contains(result.out, "init:d=1\n");
    result_free(&result);
}

/* The id of two: real ids leave the room for it. */
static void a_rule_about_names(void **state) {
    (void)state;
    struct result result = both(ENV(text("NCCL_REDIRECT_RULES=name:tp*=%s", real_nccl("cu12-2.32.3"))),
                                CMD("id", "named:t,tp0", "last", "named:d,dp0", "last", "info"));
    assert_contains(result.out, "id=0\nnamed:t,tp0=1\nlast=Cuda failure");
    assert_contains(result.out, "named:d,dp0=1\nlast=Cuda failure");
    assert_contains(result.out, "backends=2");
    result_free(&result);
}

static void each_has_its_own_last_error(void **state) {
    (void)state;
    struct result result = both(NO_ENV, CMD("use:$B", "all:c", "last", "use", "count:z", "last", "@use:$B", "@all:c",
                                            "@last", "last", "text:1", "last"));
    assert_contains(result.out, "all:c=1\nlast=Cuda failure");
    const char *second = strstr(result.out, "count:z=4\n");
    assert_non_null(second);
    assert_contains(second, "count:z=4\nlast=CommCount : comm argument is NULL\n");
    assert_contains(second, "all:c=1\nlast=Cuda failure");
    assert_contains(second, "last=0\nlast=CommCount : comm argument is NULL\nlast=0\nunhandled cuda error");
    assert_contains(second, "text:1=0\nlast=CommCount : comm argument is NULL\n");
    result_free(&result);
}

/* Both have references to ncclGroupStart, ncclGetUniqueId and more, by name, and the preload has those names. */
static void their_calls_of_themselves_stay_inside(void **state) {
    (void)state;
    struct result result = both(NO_ENV, CMD("use:$B", "use:$A", "inside:$A", "inside:$B"));
    assert_contains(result.out, "calls of its own: some\ninside:$A=0\ncalls of its own: some\ninside:$B=0\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answers_for_itself),
        cmocka_unit_test(an_id_is_good_for_its_maker_only),
        cmocka_unit_test(a_rule_about_names),
        cmocka_unit_test(each_has_its_own_last_error),
        cmocka_unit_test(their_calls_of_themselves_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
