/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torch's NCCL for a process that is no Python: of VIRTUAL_ENV, CONDA_PREFIX, the python3 on PATH; and that no Python
 * is started to find it.
 */
#include "trees.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *decoy, *no_python, *venv, *conda;

static void fill(const char *site, const char *nccl) {
    make_torch(site);
    make_wheel(site, nccl);
}

static int set_up(void **state) {
    (void)state;
    decoy = text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", SYSTEM_NCCL));
    no_python = text("PATH=%s", fresh_folder());
    venv = make_venv(false);
    fill(site_of(venv), TORCH_NCCL);
    /* conda: NCCL and torch's libraries in the prefix, the package without them. */
    conda = fresh_folder();
    write_file(text("%s/conda-meta/history", conda), "");
    write_file(text("%s/bin/%s", conda, python_folder()), "");
    chmod(text("%s/bin/%s", conda, python_folder()), 0755);
    make_link(python_folder(), text("%s/bin/python3", conda));
    write_file(text("%s/torch/__init__.py", site_of(conda)), "");
    make_link(library("torch_stand_in"), text("%s/lib/libtorch_cuda.so", conda));
    make_link(library("torch_stand_in"), text("%s/lib/libtorch.so", conda));
    make_link(NAMED_NCCL, text("%s/lib/libnccl.so.2", conda));
    return 0;
}

static void the_environment_of_the_shell(void **state) {
    (void)state;
    const char *in_venv = text("VIRTUAL_ENV=%s", venv), *in_conda = text("CONDA_PREFIX=%s", conda);
    const struct {
        const char *variables[2];
        int version;
    } cases[] = {
        {{"X=1", "X=1"}, SYSTEM_VERSION},
        {{in_venv, "X=1"}, TORCH_VERSION},
        {{text("%s/", in_venv), "X=1"}, TORCH_VERSION},
        {{in_conda, "X=1"}, NAMED_VERSION},
        {{text("%s/", in_conda), "X=1"}, NAMED_VERSION},
        {{in_venv, in_conda}, TORCH_VERSION},
        {{"VIRTUAL_ENV=/nonexistent", in_conda}, NAMED_VERSION},
        {{"VIRTUAL_ENV=", in_conda}, NAMED_VERSION},
        {{text("VIRTUAL_ENV=%s", make_venv(false)), in_conda}, NAMED_VERSION}, /* without torch */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *environment = ENV(decoy, no_python, cases[i].variables[0], cases[i].variables[1]);
        assert_serves(environment, C_PROGRAM, cases[i].version);
        assert_serves(environment, CMD(program("linked_version")), cases[i].version);
    }
}

static void from_bash(void **state) {
    (void)state;
    assert_serves(ENV(decoy),
                  CMD("/bin/bash", "-c", text("export VIRTUAL_ENV=%s; %s", venv, program("linked_version"))),
                  TORCH_VERSION);
    /* bash itself takes no decision. */
    struct result result =
        run(WITH_SHIM, ENV(text("VIRTUAL_ENV=%s", venv), "NCCL_REDIRECT_LOG=debug"), CMD("/bin/bash", "-c", "echo $$"));
    assert_string_equal(result.err, "");
    result_free(&result);
}

static void the_python_on_path(void **state) {
    (void)state;
    const char *empty = fresh_folder();
    assert_serves(ENV(decoy, text("PATH=%s:%s/bin:/usr/bin", empty, venv)), C_PROGRAM, TORCH_VERSION);
    assert_serves(ENV(decoy, text("PATH=%s/bin:%s/bin", conda, venv)), C_PROGRAM, NAMED_VERSION);
    /* Not executable: no command of that name. */
    const char *other = fresh_folder();
    write_file(text("%s/python3", other), "");
    assert_serves(ENV(decoy, text("PATH=%s:%s/bin", other, venv)), C_PROGRAM, TORCH_VERSION);
}

static void a_pyenv_shim_on_path(void **state) {
    (void)state;
    const char *root = fresh_folder(), *shims = text("%s/shims", root), *first = text("%s/versions/first", root);
    write_file(text("%s/python3", shims), "#!/bin/sh\nexec pyenv exec python3\n");
    chmod(text("%s/python3", shims), 0755);
    make_link(PYTHON, text("%s/bin/python3", first));
    write_file(text("%s/pyvenv.cfg", first), "home = /usr/bin\n");
    fill(site_of(first), NAMED_NCCL);
    write_file(text("%s/version", root), "first\n");
    make_link(venv, text("%s/versions/second", root));
    const char *path = text("PATH=%s:/usr/bin:/bin", shims);
    assert_serves(ENV(decoy, path), C_PROGRAM, NAMED_VERSION);
    assert_serves(ENV(decoy, path, "PYENV_VERSION=second"), C_PROGRAM, TORCH_VERSION);
    /* "system" is the next python3 on PATH. */
    assert_serves(ENV(decoy, text("PATH=%s:%s/bin", shims, venv), "PYENV_VERSION=system"), C_PROGRAM, TORCH_VERSION);
}

/* A python3 that leaves a mark when it is executed, wherever discovery could find one. */
static void no_python_is_started(void **state) {
    (void)state;
    const char *prefix = fresh_folder(), *mark = text("%s/executed", prefix), *python = text("%s/bin/python3", prefix);
    write_file(python, text("#!/bin/sh\necho >%s\n", mark));
    chmod(python, 0755);
    make_folder(text("%s/lib/python3.11", prefix));
    const char *site = text("%s/lib/python3.11/site-packages", prefix);
    fill(site, TORCH_NCCL);
    assert_serves(ENV(decoy, text("PATH=%s/bin", prefix)), C_PROGRAM, TORCH_VERSION);
    assert_serves(ENV(decoy, text("VIRTUAL_ENV=%s", prefix), text("PATH=%s/bin", prefix)), C_PROGRAM, TORCH_VERSION);
    assert_serves(ENV(decoy, text("CONDA_PREFIX=%s", prefix), text("PATH=%s/bin", prefix)), C_PROGRAM, TORCH_VERSION);
    assert_int_equal(access(mark, F_OK), -1);
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(python)); /* the mark would tell */
    assert_int_equal(access(mark, F_OK), 0);
    result_free(&result);
}

static void nothing_is_started(void **state) {
    (void)state;
    if (access("/usr/bin/strace", X_OK) != 0) {
        print_message("skipped: there is no strace\n");
        skip();
    }
    const char *log = text("%s/log", fresh_folder());
    struct result result = run(WITHOUT_SHIM, ENV(decoy, text("VIRTUAL_ENV=%s", venv)),
                               CMD("/usr/bin/strace", "-f", "-o", log, "-e", "trace=execve,fork,vfork,clone,clone3",
                                   "-E", text("LD_PRELOAD=%s", shim()), program("open_nccl"), "libnccl.so.2"));
    assert_contains(result.out, text("version=%d", TORCH_VERSION));
    result_free(&result);
    result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/cat", log));
    assert_contains(result.out, "execve(\"");
    assert_null(strstr(strstr(result.out, "execve(\"") + 1, "execve(\"")); /* that of the program itself */
    assert_lacks(result.out, "fork(");
    assert_lacks(result.out, "clone(");
    assert_lacks(result.out, "clone3(");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_of_the_shell), cmocka_unit_test(from_bash),
        cmocka_unit_test(the_python_on_path),           cmocka_unit_test(a_pyenv_shim_on_path),
        cmocka_unit_test(no_python_is_started),         cmocka_unit_test(nothing_is_started),
    };
    if (access(PYTHON, X_OK) != 0) {
        puts("there is no " PYTHON " to make an environment of");
        return NCR_SKIP;
    }
    return cmocka_run_group_tests(tests, set_up, NULL);
}
