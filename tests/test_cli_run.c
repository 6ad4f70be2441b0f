/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl-redirect run: checks, then becomes the command; LD_PRELOAD keeps what it had.
 * NOT SANITIZED: it is about AddressSanitizer itself, and shells that preload its runtime late.
 */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHIM SCENE_NAME "/lib/nccl-redirect/libnccl_redirect.so"

static struct scene healthy;

static int make_scenes(void **state) {
    (void)state;
    healthy = scene_make("healthy");
    return 0;
}

static void the_chosen_nccl_serves(void **state) {
    (void)state;
    assert_contains(scene_says(&healthy, 0, "nccl-redirect run -- python train.py"), "NCCL 2.21.5");
    assert_contains(scene_says(&healthy, 0, "nccl-redirect run --use torch -- python train.py"), "NCCL 2.21.5");
    assert_contains(scene_says(&healthy, 0, "nccl-redirect run --use system -- python train.py"), "NCCL 2.32.3");
    assert_contains(scene_says(&healthy, 0, "nccl-redirect run --use nccl/lib/../lib/libnccl.so.2 python train.py"),
                    "NCCL 2.32.3");
    assert_contains(scene_says(&healthy, 0, "nccl-redirect run --require '>=2.30' -- python train.py"), "NCCL 2.32.3");
    /* Without it the loader's search decides. */
    assert_contains(scene_says(&healthy, 0, "LD_LIBRARY_PATH=$PWD/nccl/lib python train.py"), "NCCL 2.32.3");
    assert_contains(scene_says(&healthy, 0, "LD_LIBRARY_PATH=$PWD/nccl/lib nccl-redirect run -- python train.py"),
                    "NCCL 2.21.5");
}

static void options_stand_for_variables(void **state) {
    (void)state;
    const char *said =
        scene_says(&healthy, 0, "nccl-redirect run --use torch --require '<3' --strict --log error -- env | sort");
    assert_contains(said, "NCCL_REDIRECT=torch\n");
    assert_contains(said, "NCCL_REDIRECT_REQUIRE=<3\n");
    assert_contains(said, "NCCL_REDIRECT_FALLBACK=0\n");
    assert_contains(said, "NCCL_REDIRECT_LOG=error\n");
    assert_lacks(said, "ARGP");
    assert_lacks(scene_says(&healthy, 0, "nccl-redirect run -- env"), "NCCL_REDIRECT");
}

static void the_preload_is_appended_once(void **state) {
    static const struct {
        const char *before, *after;
    } cases[] = {
        {"libm.so.6", "libm.so.6:" SHIM},
        {"libm.so.6:libdl.so.2", "libm.so.6:libdl.so.2:" SHIM},
        {"libm.so.6 libdl.so.2", "libm.so.6:libdl.so.2:" SHIM},
        {" libm.so.6 : ", "libm.so.6:" SHIM},
        {"$PWD/lib/nccl-redirect/libnccl_redirect.so:libm.so.6", SHIM ":libm.so.6"},
        {"$PWD/lib/nccl-redirect/libnccl_redirect.so libm.so.6 "
         "$PWD/lib/nccl-redirect/libnccl_redirect.so",
         SHIM ":libm.so.6"},
        {"libm.so.6:$PWD/copy.so:libdl.so.2", "libm.so.6:" SHIM ":libdl.so.2"},
    };
    (void)state;
    copy_file(shim(), text("%s/copy.so", healthy.root), -1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(
            scene_says(&healthy, 0,
                       text("LD_PRELOAD=\"%s\" nccl-redirect run -- sh -c 'echo $LD_PRELOAD'", cases[i].before)),
            text("%s\n", cases[i].after));
    assert_string_equal(
        scene_says(&healthy, 0, "LD_PRELOAD= nccl-redirect run -- nccl-redirect run sh -c 'echo $LD_PRELOAD'"),
        SHIM "\n");
}

static void the_process_is_the_command(void **state) {
    (void)state;
    const char *said = scene_says(&healthy, 0, "sh -c 'echo $$; exec nccl-redirect run -- sh -c \"echo \\$\\$\"'");
    int first = 0, second = 0;
    assert_int_equal(sscanf(said, "%d %d", &first, &second), 2);
    assert_int_equal(first, second);
    scene_says(&healthy, 7, "nccl-redirect run -- sh -c 'exit 7'");
    scene_says(&healthy, 128 + 15, "exec nccl-redirect run -- sh -c 'kill -TERM $$'");
    assert_string_equal(scene_says(&healthy, 0, "echo in | nccl-redirect run -- cat"), "in\n");
    assert_string_equal(scene_says(&healthy, 0, "nccl-redirect run -- sh -c 'echo \"$0 $1\"' --use 'a b'"),
                        "--use a b\n");
}

static void what_cannot_be_executed_is_told(void **state) {
    (void)state;
    write_file(text("%s/data", healthy.root), "data\n");
    write_file(text("%s/lost", healthy.root), "#!/nowhere/python\n");
    write_file(text("%s/plain", healthy.root), "echo plain $1\n");
    scene_says(&healthy, 0, "/bin/chmod +x lost plain");
    assert_contains(scene_says(&healthy, 127, "nccl-redirect run -- nothere"), "nothere is not found on PATH");
    assert_contains(scene_says(&healthy, 127, "nccl-redirect run -- ./nothere"), "./nothere does not exist");
    assert_contains(scene_says(&healthy, 126, "nccl-redirect run -- ./data"), "chmod +x");
    assert_contains(scene_says(&healthy, 126, "nccl-redirect run -- ./home"), "or a folder");
    assert_contains(scene_says(&healthy, 127, "nccl-redirect run -- ./lost"), "interpreter");
    assert_string_equal(scene_says(&healthy, 0, "nccl-redirect run -- ./plain x"), "plain x\n");
    assert_contains(scene_says(&healthy, 2, "nccl-redirect run"), "which command?");
}

/* Nothing is started: `touch` would leave a file. */
static void assert_refused(const struct scene *scene, const char *line, const char *reason) {
    const char *mark = text("%s/started", scene->root);
    assert_contains(scene_says(scene, 78, text("%s -- sh -c ': >started'", line)), reason);
    assert_int_not_equal(access(mark, F_OK), 0);
}

static void a_choice_that_cannot_be_met_is_refused(void **state) {
    (void)state;
    struct scene none = scene_make("no-torch"), broken = scene_make("broken");
    assert_refused(&none, "nccl-redirect run --use torch", "no torch in " SCENE_NAME);
    assert_refused(&none, "nccl-redirect run --use torch", "Fix: activate the environment");
    assert_refused(&none, "nccl-redirect run --use system", "cannot satisfy NCCL_REDIRECT=system");
    assert_refused(&none, "nccl-redirect run --use /nowhere/libnccl.so.2", "/nowhere/libnccl.so.2 does not exist");
    assert_refused(&none, "nccl-redirect run --use sytem", "is not a backend; use auto, torch, system, program or");
    assert_refused(&none, "nccl-redirect run --strict", "auto finds no NCCL");
    assert_refused(&none, "NCCL_REDIRECT_REQUIRE=2.x nccl-redirect run", "is not a version range");
    assert_refused(&broken, "nccl-redirect run --use torch --strict", "is truncated");
    assert_refused(&healthy, "nccl-redirect run --use torch --strict --require '>=2.27'", "is NCCL 2.21.5, outside");
    assert_refused(&healthy, "LD_PRELOAD=$PWD/nccl/lib/libnccl.so.2 nccl-redirect run", "remove it from LD_PRELOAD");

    scene_says(&none, 0, "nccl-redirect run --use system --no-check -- sh -c ': >started'");
    assert_int_equal(access(text("%s/started", none.root), F_OK), 0);
    assert_contains(scene_says(&none, 0, "nccl-redirect run -- true"),
                    "warning: no NCCL of torch, the program or the system");
    assert_string_equal(scene_says(&healthy, 0, "nccl-redirect run -- true"), "");
}

static void the_build_tree_works_too(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, healthy.environment,
                               CMD(built("nccl-redirect"), "run", "--", "/bin/sh", "-c", "echo $LD_PRELOAD"));
    assert_contains(result.out, text(":%s\n", shim()));
    result_free(&result);
    copy_file(built("nccl-redirect"), text("%s/alone/bin/nccl-redirect", healthy.root), -1);
    assert_contains(scene_says(&healthy, 78, "alone/bin/nccl-redirect run -- true"),
                    "libnccl_redirect.so is neither beside");
}

/*
 * Installed with a stand-in for 32-bit programs (make install): each loader puts its own folder in the place of $LIB.
 */
static void narrow_programs_get_the_stand_in(void **state) {
    (void)state;
    if (access("/lib/ld-linux.so.2", F_OK) != 0) {
        print_message("skipped: no 32-bit loader here\n");
        skip();
    }
    struct scene scene = scene_make("healthy");
    scene_set(&scene, "LD_PRELOAD=");
    const char *line = "nccl-redirect run -- sh -c 'echo $LD_PRELOAD; nccl-redirect is-preloaded && echo loaded'";
    assert_string_equal(scene_says(&scene, 0, line), SHIM "\nloaded\n");
    static const char *const folders[] = {"lib/x86_64-linux-gnu", "lib64"};
    for (int i = 0; i < 2; i++)
        make_link(text("%s/lib/nccl-redirect/libnccl_redirect.so", scene.root),
                  text("%s/lib/nccl-redirect/%s/libnccl_redirect.so", scene.root, folders[i]));
    assert_string_equal(scene_says(&scene, 0, line),
                        SCENE_NAME "/lib/nccl-redirect/$LIB/libnccl_redirect.so\nloaded\n");
    assert_string_equal(scene_says(&scene, 0, "nccl-redirect run -- nccl-redirect run -- sh -c 'echo $LD_PRELOAD'"),
                        SCENE_NAME "/lib/nccl-redirect/$LIB/libnccl_redirect.so\n");
    assert_contains(unwrapped(scene_run(&scene, "nccl-redirect doctor").out), "32-bit programs find a stand-in");
}

static void asan_stays_first(void **state) {
    (void)state;
    const char *source = text("%s/asan.c", healthy.root), *program = text("%s/asan", healthy.root);
    write_file(source, "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { "
                       "puts(getenv(\"LD_PRELOAD\")); return 0; }\n");
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", "-fsanitize=address", source, "-o", program));
    if (result.status != 0) {
        print_message("skipped: no gcc here that links with the address sanitizer\n");
        skip();
    }
    const char *said = scene_says(&healthy, 0, "LD_PRELOAD=libm.so.6 nccl-redirect run -- ./asan");
    assert_contains(said, "/libasan.so.");
    assert_true(said[0] == '/' && strstr(said, "libasan") < strstr(said, ":libm.so.6:"));
    assert_contains(scene_says(&healthy, 1, "LD_PRELOAD=libm.so.6:$PWD/lib/nccl-redirect/libnccl_redirect.so ./asan"),
                    "ASan runtime does not come first");
    result_free(&result);
}

static void a_static_program_is_called_deaf(void **state) {
    (void)state;
    const char *source = text("%s/alone.c", healthy.root), *program = text("%s/alone.static", healthy.root);
    write_file(source, "int main(void) { return 0; }\n");
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", "-static", source, "-o", program));
    if (result.status != 0) {
        print_message("skipped: no gcc here that links statically\n");
        skip();
    }
    assert_contains(scene_says(&healthy, 0, "nccl-redirect run -- ./alone.static"),
                    "is linked statically: a preload library has no effect");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chosen_nccl_serves),
        cmocka_unit_test(options_stand_for_variables),
        cmocka_unit_test(the_preload_is_appended_once),
        cmocka_unit_test(the_process_is_the_command),
        cmocka_unit_test(what_cannot_be_executed_is_told),
        cmocka_unit_test(a_choice_that_cannot_be_met_is_refused),
        cmocka_unit_test(the_build_tree_works_too),
        cmocka_unit_test(narrow_programs_get_the_stand_in),
        cmocka_unit_test(asan_stays_first),
        cmocka_unit_test(a_static_program_is_called_deaf),
    };
    return cmocka_run_group_tests(tests, make_scenes, NULL);
}
