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

#define ALIVE "the framework's object asks: NCCL is alive\nthe framework's object destroys: NCCL is alive\n"
#define CODE "the framework's destructor: code 0\n"

static void alone(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, ENV(text("LD_LIBRARY_PATH=%s", folder_of(mortal()))),
                               CMD(program("open_framework"), FRAMEWORK));
    assert_string_equal(result.out, ALIVE "the framework's destructor destroys: NCCL is dead\n" CODE);
    result_free(&result);
}

static void says(const char *said, const char *const *variables, const char *framework) {
    struct result result = run(WITH_SHIM, variables, CMD(program("open_framework"), framework));
    assert_string_equal(result.out, said);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

/* A destructor function runs when NCCL is dead; its calls no longer get there. */
static void under_the_preload(void **state) {
    (void)state;
    says(ALIVE CODE, ENV(text("NCCL_REDIRECT=%s", mortal())), FRAMEWORK);
}

static void with_several_libraries(void **state) {
    (void)state;
    says(ALIVE CODE,
         ENV(text("NCCL_REDIRECT=%s", mortal()), text("NCCL_REDIRECT_RULES=open:/nowhere/*=%s", library("mortal"))),
         FRAMEWORK);
}

/* What is bound at the first call is constructed too late: the object asks a dead NCCL, but destroys nothing in it. */
static void bound_at_the_first_call(void **state) {
    (void)state;
    says("the framework's object asks: NCCL is dead\n" CODE,
         ENV(text("NCCL_REDIRECT=%s", mortal()), "NCCL_REDIRECT_BIND=first-use"), FRAMEWORK);
}

static void found_by_a_search(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    copy_file(FRAMEWORK, text("%s/libframework.so", folder), -1);
    says("the framework's object asks: NCCL is dead\n" CODE,
         ENV(text("NCCL_REDIRECT=%s", mortal()), text("LD_LIBRARY_PATH=%s", folder)), "libframework.so");
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
        cmocka_unit_test(with_several_libraries),
        cmocka_unit_test(bound_at_the_first_call),
        cmocka_unit_test(found_by_a_search),
        cmocka_unit_test(other_libraries_bind_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
