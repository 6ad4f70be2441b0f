/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect explain: what it says is what the shim does, for the command that was asked about. */
#include "scene.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static cJSON *parsed(const char *json) {
    cJSON *object = cJSON_Parse(json);
    if (!object)
        fail_msg("no JSON: %s", json);
    return object;
}

static const char *value(const cJSON *object, const char *key) {
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItem(object, key));
    return found ? found : "";
}

/* The version that explain names, "" for none. */
static const char *explained(const struct scene *scene, const char *options, const char *command) {
    struct result result = scene_run(scene, text("nccl-redirect explain --json %s -- %s", options, command));
    return value(cJSON_GetObjectItem(parsed(result.out), "chosen"), "version");
}

/* The active version, "" for none. */
static const char *served(const struct scene *scene, const char *options, const char *command) {
    struct result result = scene_run(scene, text("nccl-redirect run --no-check %s -- %s", options, command));
    char *found = strstr(result.out, ": NCCL ");
    if (!found)
        return "";
    found[strcspn(found, "\n")] = '\0';
    return found + strlen(": NCCL ");
}

static void it_says_what_the_shim_does(void **state) {
    static const char *const scenes[] = {"healthy", "no-torch", "two-wheels", "older-system", "broken", "static"};
    static const char *const options[] = {"",
                                          "--use torch",
                                          "--use torch --strict",
                                          "--use system",
                                          "--require '>=2.20'",
                                          "--require '<2.20'",
                                          "--use $PWD/venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2"};
    unsigned with = 0, without = 0;
    (void)state;
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        struct scene scene = scene_make(scenes[i]);
        const char *command = strcmp(scenes[i], "no-torch") == 0 ? "python3 x.py" : "python x.py";
        for (size_t j = 0; j < sizeof options / sizeof *options; j++) {
            const char *said = explained(&scene, options[j], command);
            const char *real = served(&scene, options[j], command);
            if (strcmp(said, real) != 0)
                fail_msg("%s, %s: explain says \"%s\", \"%s\" serves", scenes[i], options[j], said, real);
            *(*said ? &with : &without) += 1;
        }
    }
    assert_true(with >= 15 && without >= 10);
}

static void the_python_of_the_command_counts(void **state) {
    (void)state;
    struct scene scene = scene_make("healthy");
    const char *root = scene.root, *other = text("%s/other", root);
    /* Another environment, whose torch brings the system's file. */
    write_file(text("%s/pyvenv.cfg", other), text("home = %s/python/bin\n", root));
    make_link(text("%s/python/bin/python3.11", root), text("%s/bin/python", other));
    write_file(text("%s/lib/python3.11/site-packages/torch/__init__.py", other), "");
    copy_file(library("linked_torch_cuda"), text("%s/lib/python3.11/site-packages/torch/lib/libtorch_cuda.so", other),
              -1);
    make_link(text("%s/nccl/lib/libnccl.so.2", root),
              text("%s/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2", other));
    write_file(text("%s/other/bin/torchrun", root), text("#!%s/other/bin/python\n", root));
    write_file(text("%s/by-env", root), "#!/usr/bin/env -S python3 -u\n");
    scene_says(&scene, 0, "/bin/chmod +x other/bin/torchrun by-env");

    assert_string_equal(explained(&scene, "", "python train.py"), "2.21.5");
    assert_string_equal(explained(&scene, "", "other/bin/python train.py"), "2.32.3");
    assert_string_equal(explained(&scene, "", "other/bin/torchrun train.py"), "2.32.3");
    assert_string_equal(explained(&scene, "", "./by-env"), "2.21.5");
    assert_contains(scene_says(&scene, 0, "nccl-redirect explain -- ./by-env"),
                    "started as " SCENE_NAME "/venv/bin/python3");
    assert_string_equal(explained(&scene, "", "env sh -c true"), "2.21.5");
    assert_string_equal(explained(&scene, "", "env VIRTUAL_ENV=$PWD/other sh -c true"), "2.32.3");
    assert_string_equal(explained(&scene, "", "env NCCL_REDIRECT=system python train.py"), "2.32.3");
    assert_string_equal(explained(&scene, "", "env -u HOME NCCL_REDIRECT=torch other/bin/python train.py"), "2.32.3");
    assert_contains(scene_says(&scene, 0, "nccl-redirect explain env A=1 other/bin/python train.py"),
                    "env: what it starts here");
    assert_contains(scene_says(&scene, 0, "nccl-redirect explain -- other/bin/torchrun"),
                    "started as " SCENE_NAME "/other/bin/python");
    assert_contains(scene_says(&scene, 0, "nccl-redirect explain"), "a process of this environment would use NCCL");
    scene_says(&scene, 127, "nccl-redirect explain -- nothere");
}

/* A program that is linked with NCCL, or through a library, and one with a RUNPATH of its own. */
static void what_the_program_is_linked_with_counts(void **state) {
    (void)state;
    struct scene scene = scene_make("no-torch");
    make_link(real_nccl("cu12-2.21.5"), text("%s/own/libnccl.so.2", scene.root));
    copy_file(program("linked_runpath"), text("%s/linked_runpath", scene.root), -1);
    copy_file(program("linked_version"), text("%s/linked_version", scene.root), -1);
    const char *said = scene_says(&scene, 0, "nccl-redirect explain -- ./linked_runpath");
    assert_contains(said, "NCCL 2.21.5, from the program's RUNPATH");
    assert_contains(said, "when the process starts (it is linked with NCCL)");
    scene_says(&scene, 1, "nccl-redirect explain -- ./linked_version");
    scene_set(&scene, text("NCCL_HOME=%s/sys", scene.root));
    make_link(real_nccl("cu12-2.32.3"), text("%s/sys/lib/libnccl.so.2", scene.root));
    assert_contains(scene_says(&scene, 0, "nccl-redirect explain -- ./linked_version"), "NCCL 2.32.3");
    assert_contains(scene_says(&scene, 0, "NCCL_REDIRECT_BIND=start nccl-redirect explain -- true"),
                    "when the process starts (NCCL_REDIRECT_BIND=start)");
}

static void every_candidate_is_shown(void **state) {
    (void)state;
    struct scene scene = scene_make("broken");
    const char *said = scene_says(&scene, 0, "nccl-redirect explain --all -- python train.py");
    assert_contains(said, "refused  torch");
    assert_contains(said, "is truncated");
    assert_contains(said, "absent   system");
    assert_contains(said, "chosen   system   NCCL 2.32.3, from NCCL_HOME");
    assert_true(strstr(said, "is truncated") < strstr(said, "chosen   system"));
    cJSON *all =
        cJSON_GetObjectItem(parsed(scene_says(&scene, 0, "nccl-redirect explain --json -- python x.py")), "candidates");
    cJSON *one = cJSON_GetArrayItem(all, 0);
    assert_string_equal(value(one, "outcome"), "refused");
    assert_string_equal(value(one, "method"), "torch");
    assert_string_equal(value(one, "origin"), "the running Python");
    assert_contains(value(one, "reason"), "truncated");
}

/* What the file alone does not show: a library that has every function, and needs another library, which is gone. */
static void what_does_not_open_is_passed_over(void **state) {
    (void)state;
    struct scene scene = scene_make("healthy");
    write_file(text("%s/bad/bad.c", scene.root),
               text("#define XX(name, since, result, route, makes) int name(void) { return 0; }\n"
                    "#include \"%s/abi/nccl_api.def\"\n",
                    getcwd(NULL, 0)));
    const char *build = "PATH=/usr/bin:/bin; LD_PRELOAD=; cd bad && gcc -shared -fPIC -x c "
                        "/dev/null -o libgone.so && "
                        "gcc -w -shared -fPIC bad.c -o libnccl.so.2 -Wl,--no-as-needed "
                        "./libgone.so && rm libgone.so";
    scene_says(&scene, 0, build);
    scene_set(&scene, text("LD_LIBRARY_PATH=%s/bad:%s/driver", scene.root, scene.root));
    const char *said = scene_says(&scene, 0, "nccl-redirect explain --use system -- python train.py");
    assert_contains(said, "refused  system   from LD_LIBRARY_PATH");
    assert_contains(said, "cannot be opened");
    assert_contains(said, "libgone.so");
    assert_contains(said, "python train.py would use NCCL 2.32.3");
    assert_string_equal(served(&scene, "--use system", "python train.py"), "2.32.3");
    assert_contains(scene_says(&scene, 78, "NCCL_HOME= nccl-redirect run --use system -- python train.py"),
                    "libgone.so");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_the_shim_does),
        cmocka_unit_test(the_python_of_the_command_counts),
        cmocka_unit_test(what_the_program_is_linked_with_counts),
        cmocka_unit_test(every_candidate_is_shown),
        cmocka_unit_test(what_does_not_open_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
