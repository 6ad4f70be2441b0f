/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing is taken from the current folder: a bare name is what it is to dlopen, a relative path or folder is refused
 * or passed over, whichever variable it comes from. The current folder of the programs here is full of NCCLs and torches
 * that somebody else may have put there.
 */
#include "trees.h"

#include <string.h>

static const char *trap, *system_here, *no_python; /* a folder; PATH without a Python */

/* A virtual environment, a libtorch, a CUDA home and more, below one folder and in it. */
static void fill_trap(const char *folder) {
    const char *venv = make_venv(false);
    make_torch(site_of(venv));
    make_wheel(site_of(venv), NAMED_NCCL);
    make_link(venv, text("%s/venv", folder));
    /* By an absolute path behind a relative one. */
    make_folder(text("%s/led/lib/%s", folder, python_folder()));
    write_file(text("%s/led/pyvenv.cfg", folder), text("home = %s/bin\ninclude-system-site-packages = true\n", venv));
    make_torch(folder);
    make_wheel(folder, NAMED_NCCL);
    make_link(NAMED_NCCL, text("%s/libnccl.so.2", folder));
    make_link(NAMED_NCCL, text("%s/my.so", folder));
    make_link(NAMED_NCCL, text("%s/lib/libnccl.so.2", folder));
    make_link(NAMED_NCCL, text("%s/lib64/libnccl.so.2", folder));
    make_link(library("torch_stand_in"), text("%s/lib/libtorch.so", folder));
    make_link(library("torch_stand_in"), text("%s/lib/libtorch_cuda.so", folder));
    make_link(library("torch_stand_in"), text("%s/libtorch.so", folder));
    make_link(library("torch_stand_in"), text("%s/libtorch_cuda.so", folder));
}

static int set_up(void **state) {
    (void)state;
    trap = fresh_folder();
    fill_trap(trap);
    system_here = folder_with("libnccl.so.2", SYSTEM_NCCL);
    no_python = text("PATH=%s", fresh_folder());
    return 0;
}

static const char *const *in_trap(const char *words) {
    static const char *command[] = {"/bin/sh", "-c", NULL, NULL};
    command[2] = text("cd %s && exec %s", trap, words);
    return command;
}

static const char *const *opens(const char *name) {
    return in_trap(text("%s %s", program("open_nccl"), name));
}

/* The dynamic loader itself does take such a folder: what the trap is made of works. */
static void alone_the_current_folder_counts(void **state) {
    (void)state;
    struct result result = run(WITHOUT_SHIM, ENV(text("LD_LIBRARY_PATH=:%s", system_here)), opens("libnccl.so.2"));
    assert_contains(result.out, text("version=%d", NAMED_VERSION));
    result_free(&result);
}

static void no_variable_leads_into_it(void **state) {
    (void)state;
    static const char *const variables[] = {
        "NCCL_HOME=.",
        "NCCL_HOME=",
        "CUDA_HOME=.",
        "PYTHONPATH=.",
        "PYTHONPATH=:",
        "PYTHONPATH=venv/lib/python3.11/site-packages",
        "VIRTUAL_ENV=venv",
        "VIRTUAL_ENV=led",
        "CONDA_PREFIX=led",
        "CONDA_PREFIX=venv",
        "CONDA_PREFIX=.",
        "LIBTORCH=.",
        "Torch_DIR=lib/share/cmake",
        "PATH=:venv/bin:./venv/bin",
        "PYTHONUSERBASE=.",
        "HOME=.",
    };
    const char *here = text("LD_LIBRARY_PATH=:.:lib::%s:", system_here);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        assert_serves(ENV(here, variables[i]), opens("libnccl.so.2"), SYSTEM_VERSION);
        assert_serves(ENV(here, variables[i]), in_trap(program("linked_version")), SYSTEM_VERSION);
    }
    assert_serves(ENV(here, "NCCL_REDIRECT=system"), opens("libnccl.so.2"), SYSTEM_VERSION);
}

/* Nor does it keep a torch from being found that is named properly. */
static void what_comes_behind_it_still_counts(void **state) {
    (void)state;
    const char *venv = make_venv(false), *libtorch = fresh_folder();
    make_torch(site_of(venv));
    make_wheel(site_of(venv), TORCH_NCCL);
    make_link(library("torch_stand_in"), text("%s/lib/libtorch.so", libtorch));
    make_link(library("torch_stand_in"), text("%s/lib/libtorch_cuda.so", libtorch));
    make_link(TORCH_NCCL, text("%s/lib/libnccl.so.2", libtorch));
    const char *const cases[][2] = {
        {"VIRTUAL_ENV=venv", text("CONDA_PREFIX=%s", venv)}, {"CONDA_PREFIX=venv", text("PATH=%s/bin", venv)},
        {"PYTHONPATH=:.", text("VIRTUAL_ENV=%s", venv)},     {"HOME=.", text("PATH=venv/bin:%s/bin", venv)},
        {"LIBTORCH=.", text("CONDA_PREFIX=%s", libtorch)},   {"LD_LIBRARY_PATH=:.", text("LIBTORCH=%s", libtorch)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_serves(ENV(no_python, cases[i][0], cases[i][1]), opens("libnccl.so.2"), TORCH_VERSION);
}

static void the_reason_is_told(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(text("LD_LIBRARY_PATH=:%s", system_here), "NCCL_REDIRECT=system", "NCCL_REDIRECT_LOG=info"),
            opens("libnccl.so.2"));
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    assert_contains(result.err,
                    "passed over: ./libnccl.so.2 (system, from LD_LIBRARY_PATH) is a relative path: nothing "
                    "is opened from the current folder");
    result_free(&result);
}

/* vLLM and SGLang give the value to dlopen. */
static void a_bare_name_is_what_dlopen_finds(void **state) {
    (void)state;
    static const char *const variables[] = {"VLLM_NCCL_SO_PATH", "SGLANG_NCCL_SO_PATH"};
    const char *folder = folder_with("my.so", TORCH_NCCL);
    for (size_t i = 0; i < 2; i++) {
        const char *both = text("LD_LIBRARY_PATH=:%s:%s", system_here, folder), *system = "NCCL_REDIRECT=system";
        assert_serves(ENV(both, system, text("%s=libnccl.so.2", variables[i])), opens("libnccl.so.2"), SYSTEM_VERSION);
        assert_serves(ENV(both, system, text("%s=my.so", variables[i])), opens("libnccl.so.2"), TORCH_VERSION);
        struct result result = run(WITHOUT_SHIM, ENV(text("LD_LIBRARY_PATH=%s", folder)), opens("my.so"));
        assert_contains(result.out, text("version=%d", TORCH_VERSION));
        result_free(&result);
    }
}

static void a_bare_name_that_dlopen_does_not_find(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(text("LD_LIBRARY_PATH=:%s", system_here), "NCCL_REDIRECT=system", "VLLM_NCCL_SO_PATH=my.so"),
            opens("libnccl.so.2"));
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    assert_contains(result.err, "warning: VLLM_NCCL_SO_PATH is not used: \"my.so\" is not found in LD_LIBRARY_PATH");
    assert_one_line(result.err);
    result_free(&result);
}

static void a_relative_path_is_refused(void **state) {
    (void)state;
    static const char *const settings[] = {"VLLM_NCCL_SO_PATH=./my.so", "SGLANG_NCCL_SO_PATH=lib/libnccl.so.2"};
    for (size_t i = 0; i < 2; i++) {
        struct result result =
            run(WITH_SHIM, ENV(text("LD_LIBRARY_PATH=%s", system_here), "NCCL_REDIRECT=system", settings[i]),
                opens("libnccl.so.2"));
        assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
        const char *equals = strchr(settings[i], '=');
        assert_contains(result.err,
                        text("error: %.*s=\"%s\" is a relative path, which means another file in every folder",
                             (int)(equals - settings[i]), settings[i], equals + 1));
        assert_one_line(result.err);
        result_free(&result);
    }
    struct result result = run(WITH_SHIM,
                               ENV(no_python, text("LD_LIBRARY_PATH=%s", system_here), "NCCL_REDIRECT_TORCH=venv",
                                   "NCCL_REDIRECT=torch", "NCCL_REDIRECT_FALLBACK=0"),
                               opens("libnccl.so.2"));
    assert_contains(result.err, "NCCL_REDIRECT_TORCH=\"venv\" is a relative path");
    result_free(&result);
}

static void two_variables_that_differ_are_one_line(void **state) {
    (void)state;
    const char *vllm = text("VLLM_NCCL_SO_PATH=%s", TORCH_NCCL), *sglang = text("SGLANG_NCCL_SO_PATH=%s", SYSTEM_NCCL);
    struct result result = run(WITH_SHIM, ENV("NCCL_REDIRECT=system", vllm, sglang), C_PROGRAM);
    assert_contains(result.out, text("version=%d", TORCH_VERSION));
    assert_contains(result.err, text("warning: %s has no effect, %s decides", sglang, vllm));
    assert_one_line(result.err);
    result_free(&result);
    result = run(WITH_SHIM, ENV("NCCL_REDIRECT=system", vllm, text("SGLANG_NCCL_SO_PATH=%s", TORCH_NCCL)), C_PROGRAM);
    assert_contains(result.out, text("version=%d", TORCH_VERSION));
    assert_string_equal(result.err, "");
    result_free(&result);
    assert_serves(ENV("NCCL_REDIRECT=system", sglang), C_PROGRAM, SYSTEM_VERSION);
}

/* The path of dlopen is the program's own, and means the current folder with and without us. */
static void what_the_program_opens_itself_is_its_own(void **state) {
    (void)state;
    for (int with = 0; with < 2; with++) {
        struct result result =
            run(with ? WITH_SHIM : WITHOUT_SHIM, ENV(no_python, "NCCL_REDIRECT=auto", "NCCL_REDIRECT_REQUIRE===2.14.3"),
                opens("./libnccl.so.2"));
        assert_contains(result.out, text("version=%d", NAMED_VERSION));
        result_free(&result);
    }
}

/* A Python that was started by a relative path, and has gone elsewhere since: what lies there is not its environment. */
static void a_python_that_changed_the_folder(void **state) {
    (void)state;
    const char *venv = make_venv(false), *evil = fresh_folder();
    make_torch(site_of(venv));
    make_wheel(site_of(venv), TORCH_NCCL);
    make_link(text("%s/venv/bin", trap), text("%s/bin", evil));
    make_link(text("%s/venv/lib", trap), text("%s/lib", evil));
    make_link(text("%s/venv/pyvenv.cfg", trap), text("%s/pyvenv.cfg", evil));
    static const char go[] = PYTHON_IMPORTS "os.chdir('%s')\n" PYTHON_CALLS;
    const char *line = text("cd %s && bin/python3 -c \"%s\"", venv, text(go, evil));
    assert_serves(ENV(text("LD_LIBRARY_PATH=%s", system_here)), CMD("/bin/sh", "-c", line), TORCH_VERSION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_the_current_folder_counts),
        cmocka_unit_test(no_variable_leads_into_it),
        cmocka_unit_test(what_comes_behind_it_still_counts),
        cmocka_unit_test(the_reason_is_told),
        cmocka_unit_test(a_bare_name_is_what_dlopen_finds),
        cmocka_unit_test(a_bare_name_that_dlopen_does_not_find),
        cmocka_unit_test(a_relative_path_is_refused),
        cmocka_unit_test(two_variables_that_differ_are_one_line),
        cmocka_unit_test(what_the_program_opens_itself_is_its_own),
        cmocka_unit_test(a_python_that_changed_the_folder),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
