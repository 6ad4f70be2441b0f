/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl-redirect python: an opt-in start-up file for one Python environment, so that a variable of nccl-redirect alone is
 * enough there. Where a Python keeps its packages is known to it alone, so it runs the script that does the work.
 */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The interpreter that is meant: a path, a name on PATH, or the folder of an environment. NULL with a message. */
static char *interpreter(const char *named) {
    struct stat status;
    if (named && ncr_file_status(named, &status) && S_ISDIR(status.st_mode))
        named = formatted("%s/bin/python3", named);
    char *file = find_on_path(named ? named : "python3");
    if (!file)
        complain("%s is not found; name the Python: nccl-redirect python --enable /venv/bin/python",
                 named ? named : "python3");
    return file;
}

/* The script lies beside the preload library, wherever that is installed. */
static const char *setup_script(void) {
    const char *problem, *shim = shim_path(false, &problem);
    const char *script = shim ? formatted("%s/python_setup.py", ncr_parent(shim, 1)) : NULL;
    if (!shim)
        complain("%s", problem);
    else if (access(script, R_OK) != 0)
        complain("%s: %s; it is installed by make install and by the packages", script, strerror(errno));
    return script && access(script, R_OK) == 0 ? script : NULL;
}

int subcommand_python(struct request *request) {
    const char *action = request->enable ? "--enable" : request->disable ? "--disable" : "--status";
    if (request->enable + request->disable + request->status != 1 || request->rest_count > 1) {
        complain("python: one of --enable, --disable and --status, for one Python. To start one: nccl-redirect run -- "
                 "python%s%s",
                 request->rest_count ? " " : "", request->rest_count ? request->rest[0] : "");
        return EXIT_USAGE;
    }
    char *python = interpreter(request->rest_count ? request->rest[0] : NULL);
    const char *script = python ? setup_script() : NULL;
    if (!script)
        return python ? EXIT_UNMET : EXIT_NOT_FOUND;
    execl(python, python, "-I", script, action, (char *)NULL);
    complain("%s cannot be executed: %s", python, strerror(errno));
    return EXIT_CANNOT_RUN;
}
