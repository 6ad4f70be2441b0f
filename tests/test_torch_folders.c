/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The package folders of a Python, in order, as ncr_python_folders() lists them for a process that the test describes;
 * compared with what the interpreter itself says where there is one.
 */
#include "trees.h"
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool collect(void *arg, const char *origin, const char *folder) {
    (void)origin;
    ncr_text_add(arg, "%s\n", folder);
    return false;
}

static const char *folders_of(const struct ncr_subject *subject) {
    struct ncr_text list = {0};
    ncr_python_folders(subject, collect, &list);
    return text("%s", ncr_text_get(&list));
}

static void debians_python(void **state) {
    (void)state;
    const struct ncr_subject subject = {.executable = "/usr/bin/python3.11", .started_as = "/usr/bin/python3"};
    clearenv();
    setenv("HOME", "/home/user", 1);
    assert_string_equal(folders_of(&subject), "/home/user/.local/lib/python3.11/site-packages\n"
                                              "/usr/local/lib/python3.11/dist-packages\n"
                                              "/usr/lib/python3/dist-packages\n"
                                              "/usr/lib/python3.11/dist-packages\n"
                                              "/usr/local/lib64/python3.11/site-packages\n"
                                              "/usr/local/lib/python3.11/site-packages\n"
                                              "/usr/lib/python3.11/site-packages\n"
                                              "/usr/lib64/python3.11/site-packages\n");
    setenv("PYTHONPATH", "/a::/b", 1);
    setenv("PYTHONNOUSERSITE", "1", 1);
    assert_contains(folders_of(&subject), "/a\n/b\n/usr/local/lib/python3.11/dist-packages\n");
}

static void a_python_of_its_own_prefix(void **state) {
    (void)state;
    const struct ncr_subject subject = {.executable = "/opt/python/bin/python3.12", .started_as = NULL};
    clearenv();
    assert_string_equal(folders_of(&subject), "/opt/python/lib/python3.12/site-packages\n"
                                              "/opt/python/lib64/python3.12/site-packages\n");
    setenv("PYTHONUSERBASE", "/base", 1);
    assert_contains(folders_of(&subject), "/base/lib/python3.12/site-packages\n/opt/python/lib/");
}

/* Every folder of site.getsitepackages() and of the user, in the interpreter's order, is among ours. */
static void as_the_interpreter_says(void **state) {
    (void)state;
    const char *home = fresh_folder(), *open = make_venv(true), *closed = make_venv(false);
    const char *const pythons[] = {PYTHON, text("%s/bin/python3", open), text("%s/bin/python3", closed)};
    python_folder();
    make_folder(site_of(text("%s/.local", home)));
    static const char program[] = "import sys, os\n"
                                  "for p in sys.path:\n"
                                  "    if p.endswith('-packages'): print(p)\n";
    for (size_t i = 0; i < 3; i++) {
        struct result result = run(WITHOUT_SHIM, ENV(text("HOME=%s", home)), CMD(pythons[i], "-c", program));
        char *real = realpath(PYTHON, NULL);
        const struct ncr_subject subject = {.executable = real, .started_as = pythons[i]};
        clearenv();
        setenv("HOME", home, 1);
        const char *ours = folders_of(&subject);
        assert_true(*result.out);
        for (char *line = strtok(result.out, "\n"); line; line = strtok(NULL, "\n")) {
            const char *at = strstr(ours, text("%s\n", line));
            if (!at)
                print_message("%s is missing or out of order in:\n%s", line, ours);
            assert_non_null(at);
            ours = at;
        }
        free(real);
        result_free(&result);
    }
}

/* As Python's site module reads them: sorted, lines that are folders, right behind the folder that they lie in. */
static void pth_files(void **state) {
    (void)state;
    const char *venv = make_venv(false), *site = site_of(venv);
    const struct ncr_subject subject = {.executable = "/usr/bin/python3.11",
                                        .started_as = text("%s/bin/python3", venv)};
    write_file(text("%s/b.pth", site), "/from/b  \r\n# /comment\n\nimport sys; sys.path.append('/code')\nimport\tos\n");
    write_file(text("%s/a.pth", site), "/from/a\nrelative/folder");
    write_file(text("%s/.hidden.pth", site), "/hidden\n");
    write_file(text("%s/c.pth.txt", site), "/other\n");
    clearenv();
    const char *folders = folders_of(&subject);
    assert_contains(folders, text("%s\n/from/a\n%s/relative/folder\n/from/b\n", site, site));
    assert_lacks(folders, "/code");
    assert_lacks(folders, "/comment");
    assert_lacks(folders, "/hidden");
    assert_lacks(folders, "/other");
}

static void no_python(void **state) {
    (void)state;
    const struct ncr_subject subject = {.executable = "/usr/bin/program", .started_as = "/usr/bin/program"};
    clearenv();
    assert_string_equal(folders_of(&subject), "");
    setenv("PATH", "/nonexistent:", 1);
    setenv("VIRTUAL_ENV", "/nonexistent", 1);
    setenv("CONDA_PREFIX", "/nonexistent", 1);
    assert_string_equal(folders_of(&subject), "");
    /* The folders tell the version where the interpreter is gone; of several the newest. */
    const char *venv = fresh_folder();
    make_folder(text("%s/lib/python3.9", venv));
    make_folder(text("%s/lib/python3.12", venv));
    write_file(text("%s/pyvenv.cfg", venv), "Home=/gone/bin\nversion = 3.12.1\n");
    setenv("VIRTUAL_ENV", venv, 1);
    assert_string_equal(folders_of(&subject), text("%s/lib/python3.12/site-packages\n"
                                                   "%s/lib64/python3.12/site-packages\n",
                                                   venv, venv));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debians_python),
        cmocka_unit_test(a_python_of_its_own_prefix),
        cmocka_unit_test(as_the_interpreter_says),
        cmocka_unit_test(pth_files),
        cmocka_unit_test(no_python),
    };
    built(""); /* before the environment goes */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
