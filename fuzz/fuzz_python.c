/* SPDX-License-Identifier: Apache-2.0 */
/* What tells where a Python's packages are: pyvenv.cfg, pyenv's file `version` and .pth files, in folders of users. */
#include "support/fuzz.h"

#include "loader.h"

#include <stdlib.h>
#include <string.h>

static bool visit(void *arg, const char *origin, const char *folder) {
    (void)arg;
    MUST(*origin && *folder == '/');
    return false;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    clearenv();
    setenv("PATH", "/pyenv/shims:relative", 1);
    setenv("HOME", "/home/user", 1);
    setenv("CONDA_PREFIX", "/env", 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct parts parts;
    struct ncr_subject python = {.executable = "/usr/bin/python3.11", .started_as = "/env/bin/python3"},
                       program = {.executable = "/usr/bin/program"};
    parts_read(&parts, data, size);
    memory_files_clear();
    memory_file_add("/env/pyvenv.cfg", parts.text[0], parts.size[0]);
    memory_file_add("/usr/pyvenv.cfg", parts.text[0], parts.size[0]);
    if (parts.count > 1)
        memory_file_add("/pyenv/version", parts.text[1], parts.size[1]);
    if (parts.count > 2)
        memory_file_add("/site/linked.pth", parts.text[2], parts.size[2]);
    memory_file_add("/site/other.pth", parts.text[0], parts.size[0]);
    memory_file_add("/pyenv/shims/python3", "", 0);
    memory_file_add("/pyenv/versions/*", "", 0);
    memory_file_add("/env/bin/python3", "", 0);
    ncr_python_folders(&python, visit, NULL);
    ncr_python_folders(&program, visit, NULL);
    ncr_pth_folders("/site", "a .pth file", visit, NULL);
    parts_free(&parts);
    return 0;
}
