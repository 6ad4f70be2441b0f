/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At the program's exit NCCL outlives the objects of a library that is linked with it, as it does without the preload:
 * what is constructed first is destroyed last, so it is constructed before a library that needs it is opened.
 */
#include "trees.h"

#include <string.h>

#define FRAMEWORK library("linked_framework")

/* A folder with the NCCL as libnccl.so.2, for a run without the preload. */
static const char *mortal(void) {
    static const char *path;
    if (!path) {
        path = text("%s/libnccl.so.2", fresh_folder());
        copy_file(library("mortal"), path, -1);
    }
    return path;
}

static const char *folder_of(const char *path) {
    return text("%.*s", (int)(strrchr(path, '/') - path), path);
}

static void alone(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, ENV(text("LD_LIBRARY_PATH=%s", folder_of(mortal()))),
                               CMD(program("open_framework"), FRAMEWORK));
    assert_string_equal(result.out, "the framework's object: NCCL is alive\n");
    result_free(&result);
}

static void under_the_preload(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", mortal())), CMD(program("open_framework"), FRAMEWORK));
    assert_string_equal(result.out, "the framework's object: NCCL is alive\n");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* The negative control: what is bound at the first call is constructed too late. The user can ask for that. */
static void bound_at_the_first_call(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", mortal()), "NCCL_REDIRECT_BIND=first-use"),
                               CMD(program("open_framework"), FRAMEWORK));
    assert_string_equal(result.out, "the framework's object: NCCL is dead\n");
    result_free(&result);
}

/* A library without NCCL is opened as ever: nothing is bound, nothing is said. */
static void other_libraries_bind_nothing(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV("NCCL_REDIRECT=/nowhere/libnccl.so.2", "NCCL_REDIRECT_LOG=debug"),
                               CMD(program("open_framework"), library("empty")));
    assert_string_equal(result.err, "");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(under_the_preload),
        cmocka_unit_test(bound_at_the_first_call),
        cmocka_unit_test(other_libraries_bind_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
