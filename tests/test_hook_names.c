/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen of an NCCL, under whatever name or path, gives the chosen backend, and it is the only one that is mapped;
 * plugins and other libraries with NCCL in their names are opened as they are.
 */
#include "support.h"

#include <stdlib.h>
#include <string.h>

static const char *chosen(void) {
    return real_nccl("cu12-2.21.5");
}

static void gives_the_chosen(const char *opened) {
    const char *mapped = realpath(chosen(), NULL);
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", chosen())), CMD(program("open_later"), opened));
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, text("main: none\nopened: %s\ncode=0 version=22105\nend: %s\n", mapped, mapped));
    result_free(&result);
}

static void by_name(void **state) {
    (void)state;
    gives_the_chosen("libnccl.so.2");
    gives_the_chosen("libnccl.so");
    gives_the_chosen("libnccl.so.2.99");
    gives_the_chosen("librccl.so.1");
}

static void by_path(void **state) {
    (void)state;
    const char *other = real_nccl("cu11-2.14.3"), *folder = fresh_folder();
    gives_the_chosen(other);
    gives_the_chosen(chosen());
    static const char *const names[] = {"libnccl.so.2.99", "librccl.so.1", "libnccl.so"};
    for (int i = 0; i < 3; i++) {
        make_link(other, text("%s/%s", folder, names[i]));
        gives_the_chosen(text("%s/%s", folder, names[i]));
    }
}

static void by_soname(void **state) {
    (void)state;
    const char *path = text("%s/nccl-of-our-site.so", fresh_folder());
    make_link(real_nccl("cu11-2.14.3"), path);
    gives_the_chosen(path);
}

static void by_a_path_that_does_not_exist(void **state) {
    (void)state;
    gives_the_chosen("/nowhere/libnccl.so.2");
}

static void without_the_shim_the_opened_one_answers(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, ENV(text("NCCL_REDIRECT=%s", chosen())),
                               CMD(program("open_later"), real_nccl("cu11-2.14.3")));
    assert_contains(result.out, "code=0 version=21403\n");
    assert_contains(result.out, text("end: %s\n", realpath(real_nccl("cu11-2.14.3"), NULL)));
    result_free(&result);
}

static void plugins_are_themselves(void **state) {
    static const char *const names[] = {"libnccl-net.so",          "libnccl-net-ofi.so",  "libnccl-tuner-x.so",
                                        "libnccl-profiler.so",     "libnccl-env.so",      "libnccl_static.so",
                                        "librccl-net.so",          "libnccltools.so",     "libmynccl-plugin.so",
                                        "libnccl-profiler-x.so.1", "libnccl-ofi-tuner.so"};
    enum { COUNT = sizeof names / sizeof *names };
    (void)state;
    const char *folder = fresh_folder(), *command[2 * COUNT + 2] = {program("open_plugin")};
    char expected[2 * COUNT * 5 + 1] = "";
    for (size_t i = 0; i < COUNT; i++) {
        copy_file(library("plugin"), text("%s/%s", folder, names[i]), -1);
        command[2 * i + 1] = text("%s/%s", folder, names[i]);
        command[2 * i + 2] = names[i];
        strcat(expected, "4711\n4711\n");
    }
    for (int preload = WITHOUT_SHIM; preload <= WITH_SHIM; preload++) {
        struct result result =
            run((enum preload)preload, ENV(text("NCCL_REDIRECT=%s", chosen()), text("LD_LIBRARY_PATH=%s", folder)),
                command);
        assert_string_equal(result.err, "");
        assert_string_equal(result.out, expected);
        result_free(&result);
    }
}

/* A plugin's name decides before its SONAME does. */
static void plugins_with_any_soname(void **state) {
    static const char *const kinds[] = {"net", "tuner", "profiler", "env"};
    const char *folder = fresh_folder(), *command[6] = {program("open_plugin")};
    (void)state;
    for (int i = 0; i < 4; i++) {
        command[i + 1] = text("%s/libnccl-%s.so", folder, kinds[i]);
        copy_file(library("plugin_soname"), command[i + 1], -1);
    }
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", chosen())), command);
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, "4711\n4711\n4711\n4711\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_name),
        cmocka_unit_test(by_path),
        cmocka_unit_test(by_soname),
        cmocka_unit_test(by_a_path_that_does_not_exist),
        cmocka_unit_test(without_the_shim_the_opened_one_answers),
        cmocka_unit_test(plugins_are_themselves),
        cmocka_unit_test(plugins_with_any_soname),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
