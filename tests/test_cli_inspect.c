/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect inspect and list, on real files: how each reaches NCCL, what it lacks, and to whom it belongs. */
#include "scene.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct scene scene;

static int make_scenes(void **state) {
    (void)state;
    scene = scene_make("healthy");
    return 0;
}

#define SITE "venv/lib/python3.11/site-packages"

static const char *inspected(int status, const char *file) {
    return scene_says(&scene, status, text("nccl-redirect inspect %s", file));
}

static void each_way_is_told_apart(void **state) {
    (void)state;
    assert_contains(inspected(0, program("linked_version")), "linked with libnccl.so.2");
    assert_contains(inspected(0, program("open_nccl")), "none ");
    assert_contains(inspected(0, program("python_stand_in")), "opens libnccl.so.2 at run time");
    assert_contains(inspected(0, SITE "/nvidia/nccl/lib/libnccl.so.2"), "is an NCCL (2.21.5+cuda12.4)");
    assert_contains(inspected(0, "lib/nccl-redirect/libnccl_redirect.so"), "is nccl-redirect's preload library");
    assert_contains(inspected(0, "/bin/sh"), "does not reach NCCL");
    assert_contains(inspected(0, "sh"), "does not reach NCCL");
    assert_contains(inspected(0, built("hostmem/torch/libtorch_cuda.so")), "exported, so it can be used");
    assert_contains(inspected(2, "nothere"), "no such file");
    assert_contains(scene_says(&scene, 2, "nccl-redirect inspect"), "which file, folder or package?");
}

/* The version text alone gives a stripped one away. */
static void an_nccl_inside_is_out_of_reach(void **state) {
    (void)state;
    const char *inside = program("inside_nccl");
    assert_contains(inspected(1, inside), "an NCCL (2.21.5+cuda12.4) is linked into it");
    assert_contains(inspected(1, inside), "a preload library cannot reach its calls");
    copy_file(inside, text("%s/stripped", scene.root), -1);
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/strip", text("%s/stripped", scene.root)));
    assert_int_equal(result.status, 0);
    assert_contains(inspected(1, "stripped"), "an NCCL (2.21.5+cuda12.4) is linked into it, names stripped");
    result_free(&result);
}

/* As in XLA: functions by NCCL's names that look the real ones up, and a file name that is put together at run time. */
static void functions_that_look_up_the_real_ones_are_in_reach(void **state) {
    (void)state;
    const char *source = text("%s/lookup.c", scene.root), *file = text("%s/lookup.so", scene.root);
    write_file(source, "#include <dlfcn.h>\n#include <stdio.h>\n"
                       "__attribute__((visibility(\"hidden\"))) int ncclAllReduce(int v) {\n"
                       "    char name[32]; snprintf(name, sizeof name, \"lib%s.so.%d\", \"nc\" \"cl\", v);\n"
                       "    return dlsym(dlopen(name, RTLD_NOW), \"ncclAllReduce\") != 0; }\n"
                       "int call(void) { return ncclAllReduce(2); }\n");
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", "-w", "-shared", "-fPIC", source, "-o", file));
    assert_int_equal(result.status, 0);
    assert_contains(unwrapped(inspected(0, "lookup.so")), "which look up the real ones at run time: redirected");
    result_free(&result);
}

static void a_library_of_a_library_is_followed(void **state) {
    (void)state;
    const char *source = text("%s/user.c", scene.root);
    write_file(source, "int torch_needs(int which);\nint main(void) { return torch_needs(0); }\n");
    struct result result =
        run(WITHOUT_SHIM, NO_ENV,
            CMD("/usr/bin/gcc", source, "-o", text("%s/user", scene.root),
                text("%s/" SITE "/torch/lib/libtorch_cuda.so", scene.root), "-Wl,--allow-shlib-undefined"));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    const char *said = inspected(0, "user");
    assert_contains(said, "through ");
    assert_contains(said, SCENE_NAME "/" SITE "/torch/lib/libtorch_cuda.so");
    assert_contains(said, "needs 5 NCCL functions");
    result_free(&result);
}

static void a_package_folder_is_searched(void **state) {
    (void)state;
    write_file(text("%s/package/deep/bindings.py", scene.root), "import ctypes\nnccl = ctypes.CDLL('libnccl.so.2')\n");
    write_file(text("%s/package/other.py", scene.root), "import torch\n");
    write_file(text("%s/package/notes.txt", scene.root), "libnccl.so.2\n");
    copy_file(library("linked_torch_cuda"), text("%s/package/core.so", scene.root), -1);
    const char *said = inspected(0, "package");
    assert_contains(said, "package/deep/bindings.py");
    assert_contains(said, "package/core.so");
    assert_lacks(said, "other.py");
    assert_lacks(said, "notes.txt");
    assert_contains(inspected(0, "home"), "nothing in it reaches NCCL (0 programs");
}

static void a_script_stands_for_its_interpreter(void **state) {
    (void)state;
    write_file(text("%s/tool", scene.root), text("#!%s/venv/bin/python\n", scene.root));
    chmod(text("%s/tool", scene.root), 0755);
    const char *said = inspected(0, "tool");
    assert_contains(said, SCENE_NAME "/python/bin/python3.11");
    assert_contains(said, "(its interpreter) opens libnccl.so.2");
}

static void what_each_nccl_lacks_is_told(void **state) {
    (void)state;
    struct scene older = scene_make("older-system");
    const char *said = unwrapped(scene_says(&older, 0, "nccl-redirect inspect " SITE "/torch/lib/libtorch_cuda.so"));
    assert_contains(said, "NCCL 2.21.5, " SCENE_NAME "/" SITE "/nvidia/nccl/lib/libnccl.so.2,");
    assert_contains(said, "has all 5");
    assert_contains(said, "NCCL 2.14.3, " SCENE_NAME "/old/libnccl.so.2, lacks");
    assert_contains(said, "ncclCommSplit (2.18.1)");
    assert_contains(said, "ncclMemAlloc (2.19.1)");
    assert_lacks(strstr(said, "lacks"), "ncclAllReduce");
    assert_contains(scene_says(&older, 0, "nccl-redirect inspect --all " SITE "/torch/lib/libtorch_cuda.so"),
                    "needs ncclAllReduce");
}

/* ---- list ---- */

static void a_replaced_file_is_called_out(void **state) {
    (void)state;
    struct scene replaced = scene_make("healthy");
    const char *file = text("%s/" SITE "/nvidia/nccl/lib/libnccl.so.2", replaced.root);
    assert_lacks(scene_says(&replaced, 0, "nccl-redirect list"), "note");
    unlink(file);
    make_link(real_nccl("cu11-2.14.3"), file);
    const char *said = scene_says(&replaced, 0, "nccl-redirect list");
    assert_contains(said, "NCCL 2.14.3   CUDA 11.7");
    assert_contains(said, "the wheel says 2.21.5, the file is 2.14.3: it was replaced");
    assert_contains(scene_says(&replaced, 0, "nccl-redirect doctor"), "warning  packages");
}

static void a_wheel_without_torch_is_listed(void **state) {
    (void)state;
    struct scene alone = scene_make("no-torch");
    const char *site = text("%s/python/lib/python3.11/site-packages", alone.root);
    make_link(real_nccl("cu12-2.21.5"), text("%s/nvidia/nccl/lib/libnccl.so.2", site));
    const char *said = unwrapped(scene_says(&alone, 0, "nccl-redirect list"));
    assert_contains(said, "NCCL 2.21.5");
    assert_contains(said, "there is no torch beside it");
    assert_contains(said, "--use " SCENE_NAME "/python/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2");
    scene_says(&alone, 1, "nccl-redirect explain");
}

static void a_conda_package_is_the_owner(void **state) {
    (void)state;
    struct scene conda = scene_make("no-torch");
    const char *prefix = text("%s/conda", conda.root);
    make_link(real_nccl("cu12-2.21.5"), text("%s/lib/libnccl.so.2.21.5", prefix));
    make_link("libnccl.so.2.21.5", text("%s/lib/libnccl.so.2", prefix));
    write_file(text("%s/conda-meta/nccl-2.21.5.1-h3a84f7b_0.json", prefix),
               "{\"name\": \"nccl\", \"version\": \"2.21.5.1\", \"files\": [\"lib/libnccl.so.2\", "
               "\"lib/libnccl.so.2.21.5\"]}\n");
    scene_set(&conda, text("NCCL_HOME=%s", prefix));
    assert_contains(scene_says(&conda, 0, "nccl-redirect list"), "nccl 2.21.5.1 (conda package)");
}

static void broken_files_are_listed_with_the_reason(void **state) {
    (void)state;
    struct scene broken = scene_make("broken");
    const char *said = scene_says(&broken, 0, "nccl-redirect list");
    assert_contains(said, "it is truncated");
    assert_contains(said, "NCCL 2.32.3");
}

/* A name is a file here, a command, a module, or a distribution of the Python of this environment. */
static void packages_are_found_by_name(void **state) {
    (void)state;
    const char *said = inspected(0, "torch");
    assert_contains(said, "linked    " SCENE_NAME "/" SITE "/torch/lib/libtorch_cuda.so");
    assert_contains(inspected(0, "nvidia-nccl-cu12"), "nccl      " SCENE_NAME "/" SITE "/nvidia/nccl/lib/libnccl.so.2");
    assert_contains(inspected(0, "nvidia"), "is an NCCL (2.21.5+cuda12.4)");
    assert_contains(inspected(2, "no-such-package"), "no such package of Python");
    assert_contains(inspected(2, "nothere torch"), "no such file");
    assert_contains(inspected(2, "nothere torch"), "libtorch_cuda.so");
}

static void a_script_leads_to_what_it_imports(void **state) {
    (void)state;
    write_file(text("%s/job/train.py", scene.root),
               "import os, sys\nfrom utils.data import x\nif 1:\n    import helper as h; pass\n"
               "from . import nothing\n# import torch\n");
    write_file(text("%s/job/helper.py", scene.root), "import torch.nn as nn, json\n");
    write_file(text("%s/job/utils/data.py", scene.root), "x = 1\n");
    write_file(text("%s/job/plain.py", scene.root), "import os\nfrom utils import data\n");
    const char *said = unwrapped(inspected(0, "job/train.py"));
    assert_contains(said, "script job/train.py imports torch, helper, through which it reaches NCCL (below)");
    assert_contains(said, "linked " SCENE_NAME "/" SITE "/torch/lib/libtorch_cuda.so");
    assert_contains(unwrapped(inspected(0, "job/plain.py")), "nothing that it imports reaches NCCL");
    write_file(text("%s/job/run", scene.root), text("#!%s/venv/bin/python\nimport torch\n", scene.root));
    scene_says(&scene, 0, "/bin/chmod +x job/run");
    assert_contains(unwrapped(inspected(0, "job/run")), "imports torch, through which it reaches NCCL");
}

static void a_named_link_is_followed(void **state) {
    (void)state;
    make_link(text("%s/" SITE "/torch", scene.root), text("%s/link", scene.root));
    assert_contains(inspected(0, "link"), "/torch/lib/libtorch_cuda.so");
    make_link("train.py", text("%s/file-link", scene.root));
    assert_contains(inspected(0, "file-link"), "file-link");
    /* One inside a folder is not: it may lead anywhere. */
    make_link(text("%s/" SITE "/torch", scene.root), text("%s/outer/link", scene.root));
    assert_contains(inspected(0, "outer"), "nothing in it reaches NCCL");
}

static void what_cannot_be_read_is_an_error(void **state) {
    (void)state;
    const char *other = geteuid() == 0 ? "/usr/bin/setpriv --reuid 65534 --clear-groups" : "";
    scene_says(&scene, 0,
               "/bin/chmod -R a+rX . && /bin/cp train.py secret.py && /bin/chmod 0 secret.py && "
               "/bin/mkdir -p closed && /bin/cp train.py closed && /bin/chmod 0 closed/train.py");
    const char *tool = text("%s $PWD/bin/nccl-redirect inspect", other);
    assert_contains(scene_says(&scene, 1, text("%s secret.py", tool)), "secret.py cannot be read: Permission denied");
    assert_contains(scene_says(&scene, 1, text("%s closed", tool)), "1 files or folders in it cannot be read");
    assert_contains(inspected(1, "/dev/null"), "/dev/null cannot be read: it is not a regular file");
}

/* An extension that exports the NCCL inside it and calls it through the loader's table is redirected, unless a rule says no. */
static void the_rule_for_an_exported_nccl_is_printed(void **state) {
    (void)state;
    static const char *const names[] = {
#define XX(name, since, ...) since <= 20400 ? #name : NULL,
#define XX_SOLO(name, ...)
#define RCCL_XX(name, ...)
#include "../abi/nccl_api.def"
    };
    const char *source = "const char *version(void) { return \"NCCL version 2.21.5+cuda12.4\"; }\n";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i])
            source = text("%sint %s(void) { return 0; }\n", source, names[i]);
    write_file(text("%s/pace.c", scene.root), text("%sint pace_run(void) { return ncclAllReduce(); }\n", source));
    struct result result = run(WITHOUT_SHIM, NO_ENV,
                               CMD("/usr/bin/gcc", "-shared", "-fPIC", text("%s/pace.c", scene.root), "-o",
                                   text("%s/pace_cpp.so", scene.root)));
    assert_int_equal(result.status, 0);
    const char *said = unwrapped(inspected(0, "pace_cpp.so"));
    assert_contains(said, "an NCCL (2.21.5+cuda12.4) is linked into it and exported, so it can be used");
    assert_contains(said,
                    "redirected. To leave it its own NCCL: NCCL_REDIRECT_RULES=pace_cpp.so=" SCENE_NAME "/pace_cpp.so");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_is_told_apart),
        cmocka_unit_test(an_nccl_inside_is_out_of_reach),
        cmocka_unit_test(functions_that_look_up_the_real_ones_are_in_reach),
        cmocka_unit_test(a_library_of_a_library_is_followed),
        cmocka_unit_test(a_package_folder_is_searched),
        cmocka_unit_test(a_script_stands_for_its_interpreter),
        cmocka_unit_test(what_each_nccl_lacks_is_told),
        cmocka_unit_test(a_replaced_file_is_called_out),
        cmocka_unit_test(a_wheel_without_torch_is_listed),
        cmocka_unit_test(a_conda_package_is_the_owner),
        cmocka_unit_test(broken_files_are_listed_with_the_reason),
        cmocka_unit_test(packages_are_found_by_name),
        cmocka_unit_test(a_script_leads_to_what_it_imports),
        cmocka_unit_test(a_named_link_is_followed),
        cmocka_unit_test(what_cannot_be_read_is_an_error),
        cmocka_unit_test(the_rule_for_an_exported_nccl_is_printed),
    };
    return cmocka_run_group_tests(tests, make_scenes, NULL);
}
