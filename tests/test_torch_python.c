/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torch's NCCL for a running Python, in every way in which one is started and finds its packages. The interpreter is
 * real; the NCCLs are real; LD_LIBRARY_PATH offers another NCCL, which must not be active.
 */
#include "trees.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *decoy;

/* What a Python prints that is started as `python`, with more arguments before the program. */
#define PYTHON_AS(python) CMD(python, "-c", PYTHON_PROGRAM)

static int set_up(void **state) {
    (void)state;
    decoy = text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", SYSTEM_NCCL));
    return 0;
}

/* A site-packages with torch and this NCCL. */
static void fill(const char *site, const char *nccl) {
    make_torch(site);
    make_wheel(site, nccl);
}

static void a_plain_venv(void **state) {
    (void)state;
    const char *venv = make_venv(false);
    fill(site_of(venv), TORCH_NCCL);
    assert_serves(ENV(decoy), PYTHON_AS(text("%s/bin/python3", venv)), TORCH_VERSION);
    assert_serves(ENV(decoy), PYTHON_AS(text("%s/bin/python", venv)), TORCH_VERSION);
    /* The interpreter that the links lead to is no part of the environment. */
    assert_serves(ENV(decoy), PYTHON_AS(PYTHON), SYSTEM_VERSION);
    struct result result = run(WITHOUT_SHIM, ENV(decoy), PYTHON_AS(text("%s/bin/python3", venv)));
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    result_free(&result);
}

static void started_by_name_or_by_a_relative_path(void **state) {
    (void)state;
    const char *venv = make_venv(false), *script = text("%s/program.py", fresh_folder());
    fill(site_of(venv), TORCH_NCCL);
    write_file(script, PYTHON_PROGRAM);
    const char *const lines[] = {
        text("cd %s && bin/python3 %s", venv, script),
        text("cd %s/bin && ./python3 %s", venv, script),
        text("cd %s/lib && ../bin/python %s", venv, script),
        text("PATH=%s/bin:$PATH python3 %s", venv, script),
        text("cd %s && PATH=bin:$PATH python3 %s", venv, script),
        text("PATH=%s/bin:$PATH env python3 %s", venv, script),
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_serves(ENV(decoy), CMD("/bin/sh", "-c", lines[i]), TORCH_VERSION);
}

static void a_script_with_a_shebang_line(void **state) {
    (void)state;
    const char *venv = make_venv(false), *script = text("%s/bin/program", venv);
    fill(site_of(venv), TORCH_NCCL);
    write_file(script, text("#!%s/bin/python3\n" PYTHON_PROGRAM, venv));
    chmod(script, 0755);
    assert_serves(ENV(decoy), CMD(script), TORCH_VERSION);
    const char *by_env = text("%s/program", fresh_folder());
    write_file(by_env, "#!/usr/bin/env python3\n" PYTHON_PROGRAM);
    chmod(by_env, 0755);
    assert_serves(ENV(decoy, text("PATH=%s/bin:/usr/bin:/bin", venv)), CMD(by_env), TORCH_VERSION);
    assert_serves(ENV(decoy), CMD(by_env), SYSTEM_VERSION);
}

static void a_venv_of_copies(void **state) {
    (void)state;
    const char *venv = make_venv(false), *copy = text("%s/bin/python-copy", venv);
    copy_file(PYTHON, copy, -1);
    fill(site_of(venv), TORCH_NCCL);
    assert_serves(ENV(decoy), PYTHON_AS(copy), TORCH_VERSION);
}

static void the_users_packages(void **state) {
    (void)state;
    const char *home = fresh_folder(), *base = fresh_folder();
    fill(site_of(text("%s/.local", home)), TORCH_NCCL);
    fill(site_of(base), NAMED_NCCL);
    const char *at_home = text("HOME=%s", home), *at_base = text("PYTHONUSERBASE=%s", base);
    const char *closed = make_venv(false), *open = make_venv(true);
    const struct {
        const char *python, *variable;
        int version;
    } cases[] = {
        {PYTHON, "X=1", TORCH_VERSION},
        {PYTHON, at_base, NAMED_VERSION},
        {PYTHON, "PYTHONNOUSERSITE=1", SYSTEM_VERSION},
        {PYTHON, "PYTHONNOUSERSITE=", TORCH_VERSION},
        {text("%s/bin/python3", closed), "X=1", SYSTEM_VERSION},
        {text("%s/bin/python3", open), "X=1", TORCH_VERSION}, /* include-system-site-packages */
        {text("%s/bin/python3", open), "PYTHONNOUSERSITE=1", SYSTEM_VERSION},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_serves(ENV(decoy, at_home, cases[i].variable), PYTHON_AS(cases[i].python), cases[i].version);
}

static void a_venv_wins_over_the_packages_outside(void **state) {
    (void)state;
    const char *home = fresh_folder(), *venv = make_venv(true), *closed = make_venv(false);
    fill(site_of(text("%s/.local", home)), NAMED_NCCL);
    fill(site_of(venv), TORCH_NCCL);
    const char *const *environment =
        ENV(decoy, text("HOME=%s", home), text("VIRTUAL_ENV=%s", venv), text("CONDA_PREFIX=%s", venv));
    assert_serves(environment, PYTHON_AS(text("%s/bin/python3", venv)), TORCH_VERSION);
    /* Of a running Python its own environment counts, not the one that a shell has activated. */
    assert_serves(environment, PYTHON_AS(PYTHON), NAMED_VERSION);
    assert_serves(environment, PYTHON_AS(text("%s/bin/python3", closed)), SYSTEM_VERSION);
}

static void pythonpath_comes_first(void **state) {
    (void)state;
    const char *venv = make_venv(false), *first = fresh_folder(), *second = fresh_folder(), *sources = fresh_folder();
    fill(site_of(venv), TORCH_NCCL);
    fill(second, NAMED_NCCL);
    make_folder(text("%s/torch/csrc", sources)); /* no package: Python passes over it too */
    const char *python = text("%s/bin/python3", venv);
    assert_serves(ENV(decoy, text("PYTHONPATH=%s:%s", first, second)), PYTHON_AS(python), NAMED_VERSION);
    assert_serves(ENV(decoy, text("PYTHONPATH=%s", first)), PYTHON_AS(python), TORCH_VERSION);
    assert_serves(ENV(decoy, text("PYTHONPATH=%s", sources)), PYTHON_AS(python), TORCH_VERSION);
    assert_serves(ENV(decoy, "PYTHONPATH="), PYTHON_AS(python), TORCH_VERSION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_venv),
        cmocka_unit_test(started_by_name_or_by_a_relative_path),
        cmocka_unit_test(a_script_with_a_shebang_line),
        cmocka_unit_test(a_venv_of_copies),
        cmocka_unit_test(the_users_packages),
        cmocka_unit_test(a_venv_wins_over_the_packages_outside),
        cmocka_unit_test(pythonpath_comes_first),
    };
    if (access(PYTHON, X_OK) != 0) {
        puts("there is no " PYTHON " to run");
        return NCR_SKIP;
    }
    return cmocka_run_group_tests(tests, set_up, NULL);
}
