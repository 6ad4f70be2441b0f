/* SPDX-License-Identifier: Apache-2.0 */
#include "trees.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *python_folder(void) {
    static char *real;
    if (!real)
        real = realpath(PYTHON, NULL);
    if (!real) {
        print_message("skipped: there is no " PYTHON "\n");
        skip();
    }
    return strrchr(real, '/') + 1;
}

const char *site_of(const char *prefix) {
    return text("%s/lib/%s/site-packages", prefix, python_folder());
}

const char *make_venv(bool system_packages) {
    const char *prefix = fresh_folder();
    make_folder(site_of(prefix));
    make_link(PYTHON, text("%s/bin/python3", prefix));
    make_link("python3", text("%s/bin/python", prefix));
    write_file(text("%s/pyvenv.cfg", prefix), text("home = /usr/bin\ninclude-system-site-packages = %s\nversion = 3\n",
                                                   system_packages ? "true" : "false"));
    return prefix;
}

void make_torch(const char *site) {
    write_file(text("%s/torch/__init__.py", site), "");
    make_link(library("torch_stand_in"), text("%s/torch/lib/libtorch_cuda.so", site));
}

void make_wheel(const char *site, const char *nccl) {
    make_link(nccl, text("%s/nvidia/nccl/lib/libnccl.so.2", site));
}

const char *folder_with(const char *name, const char *file) {
    const char *folder = fresh_folder();
    make_link(file, text("%s/%s", folder, name));
    return folder;
}

void assert_serves_at(const char *const *environment, const char *const *command, int version, const char *file,
                      int line) {
    struct result result = run(WITH_SHIM, environment, command);
    const char *wanted = version ? text("version=%d", version) : "NCCL is disabled by nccl-redirect";
    bool good = strstr(version ? result.out : text("%s%s", result.out, result.err), wanted) != NULL;
    if (!good || (version && result.status != 0)) {
        print_message("wanted \"%s\" from %s\n", wanted, command[0]);
        show(&result);
        _fail(file, line);
    }
    result_free(&result);
}

void assert_lines_at(const char *all, unsigned wanted, const char *file, int line) {
    unsigned lines = 0;
    for (const char *c = all; *c; c++)
        lines += *c == '\n';
    if (lines == wanted && (!*all || all[strlen(all) - 1] == '\n'))
        return;
    print_message("%u lines instead of %u:\n%s\n", lines, wanted, all);
    _fail(file, line);
}
