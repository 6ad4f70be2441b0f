/* SPDX-License-Identifier: Apache-2.0 */
/* A second NCCL gets into the process all the same: one warning at the first communicator names both files. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

static const char *chosen(void) {
    return real_nccl("cu12-2.21.5");
}

static void check(const char *const *command, const char *other) {
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", chosen())), command);
    const char *warning = strstr(result.err, "warning: two NCCLs are mapped");
    assert_contains(result.out, "version=0,22105 id=0");
    assert_non_null(warning);
    assert_null(strstr(warning + 1, "warning: two"));
    assert_contains(warning, text("%s is active, but %s is loaded too", chosen(), other));
    assert_true(warning > strstr(result.err, "before\n") && warning < strstr(result.err, "between\n"));
    result_free(&result);
}

static void linked_by_its_path(void **state) {
    (void)state;
    check(CMD(program("by_path")), library("libnccl.so.stub"));
}

static void in_another_namespace(void **state) {
    (void)state;
    check(CMD(program("linked_create"), real_nccl("cu11-2.14.3")), realpath(real_nccl("cu11-2.14.3"), NULL));
}

static void none_without_a_second(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", chosen())), CMD(program("linked_create")));
    assert_contains(result.out, "version=0,22105 id=0");
    assert_lacks(result.err, "two NCCLs");
    result_free(&result);
}

/* The shim twice, as two tools may set it: a chain, with one NCCL at its end. */
static void none_with_a_chain_of_two_shims(void **state) {
    (void)state;
    const char *copy = text("%s/libnccl_redirect.so", fresh_folder());
    copy_file(shim(), copy, -1);
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", chosen()), text("LD_PRELOAD=%s", copy)),
                               CMD(program("linked_create")));
    assert_contains(result.out, "version=0,22105 id=0");
    assert_lacks(result.err, "two NCCLs");
    result_free(&result);
}

/* Without the shim the path that the program is linked with answers. */
static void the_program_has_another(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(program("by_path")));
    assert_contains(result.out, "text=by its path\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linked_by_its_path),      cmocka_unit_test(in_another_namespace),
        cmocka_unit_test(none_without_a_second),   cmocka_unit_test(none_with_a_chain_of_two_shims),
        cmocka_unit_test(the_program_has_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
