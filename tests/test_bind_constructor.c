/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first call comes from inside a constructor: of another library, however it got into the process, or of the
 * backend.
 */
#include "support.h"

#include <string.h>

static const char *backend(void) {
    return text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5"));
}

static void check(enum preload preload, const char *const *environment, const char *const *command,
                  const char *expected) {
    struct result result = run(preload, environment, command);
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, expected);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* Two preloads and which is first: the loader runs constructors from the back of its list. */
static void of_another_preload(void **state) {
    (void)state;
    const char *expected = "constructor: code=0 version=22105\n";
    const char *before = text("LD_PRELOAD=%s", library("early"));
    const char *behind = text("LD_PRELOAD=%s:%s", shim(), library("early"));
    check(WITH_SHIM, ENV(backend(), before), CMD("/bin/true"), expected);
    check(WITHOUT_SHIM, ENV(backend(), behind), CMD("/bin/true"), expected);
    check(WITHOUT_SHIM, ENV(backend(), before), CMD("/bin/true"), "constructor: code=-1 version=-1\n");
    check(WITH_SHIM, ENV(backend(), text("LD_PRELOAD=%s", library("linked_early"))), CMD("/bin/true"),
          "linked constructor: code=0 version=22105\n");
}

static void of_a_linked_library(void **state) {
    (void)state;
    check(WITH_SHIM, ENV(backend()), CMD(program("linked_early_user")),
          "linked constructor: code=0 version=22105\nmain\n");
    check(WITH_SHIM, ENV(backend(), "NCCL_REDIRECT_BIND=first-use"), CMD(program("linked_early_user")),
          "linked constructor: code=0 version=22105\nmain\n");
}

static void of_an_opened_library(void **state) {
    (void)state;
    check(WITH_SHIM, ENV(backend()), CMD(program("open_library"), library("linked_early")),
          "linked constructor: code=0 version=22105\n");
    check(WITH_SHIM, ENV(backend()), CMD(program("open_library"), library("early")),
          "constructor: code=0 version=22105\n");
}

/* The constructor's thread holds the loader's lock, which binding needs too. */
static void of_a_library_that_another_thread_opens(void **state) {
    (void)state;
    const char *expected = "constructor: code=0 version=22105\ncaller: code=0 version=22105\n";
    check(WITH_SHIM, ENV(backend()), CMD(program("race_constructor"), "constructor-first", library("early")), expected);
    check(WITHOUT_SHIM, ENV(backend(), text("LD_PRELOAD=%s:%s", shim(), library("slow_dlopen"))),
          CMD(program("race_constructor"), "caller-first", library("early")), expected);
}

static void of_the_backend(void **state) {
    (void)state;
    const char *self = text("NCCL_REDIRECT=%s", library("self_calling"));
    const char *other = text("SELF_OPENS=%s", real_nccl("cu12-2.21.5"));
    for (int i = 0; i < 3; i++) {
        const char *when = text("NCCL_REDIRECT_BIND=%s", (const char *[]){"auto", "start", "first-use"}[i]);
        check(WITH_SHIM, ENV(self, other, when), CMD(program("linked_say")),
              "code=0 version=23007 said=\"version 0 23007 count 0 17 by name 17 by path 22105\"\n"
              "last error: \n");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_another_preload),   cmocka_unit_test(of_a_linked_library),
        cmocka_unit_test(of_an_opened_library), cmocka_unit_test(of_a_library_that_another_thread_opens),
        cmocka_unit_test(of_the_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
