/* nccl-redirect run: check, then become the command. */
#include "traces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A preload has no effect on these: better said than found out at 3 a.m. The command runs all the same; it may start
 * others.
 */
static void warn_of_deaf_program(const struct command *command) {
    const char *why = command->is_static ? "is linked statically"
                      : command->set_uid ? "is a set-uid program"
                      : command->narrow  ? "is a 32-bit program"
                                         : NULL;
    if (why)
        complain("warning: %s %s, a preload has no effect on it. Programs that it starts are "
                 "redirected if they get the "
                 "environment",
                 command->program, why);
}

static int check(const struct command *command, const struct request *request, bool *rccl) {
    struct ncr_config config;
    struct decision decision;
    ncr_config_read(&config);
    decide(&decision, &config, &command->subject);
    *rccl = decision.chosen && decision.chosen->rccl;
    if (decision.chosen)
        return 0;
    if (config.choice == NCR_CHOOSE_AUTO && !request->strict) {
        complain("warning: no NCCL of torch or the system is found here (nccl-redirect explain "
                 "tells where it looked); what "
                 "the command brings itself will serve");
        return 0;
    }
    complain("%s", decision_failure(&decision));
    complain("%s is not started. To do: %s", ncr_basename(command->argv[0]), decision_cure(&decision));
    return EXIT_UNMET;
}

static int preload(const struct command *command, bool rccl) {
    const char *problem, *list = getenv("LD_PRELOAD"), *shim = shim_path(rccl, &problem);
    const char *foreign = foreign_nccl_in(list);
    if (!shim) {
        complain("%s", problem);
        return EXIT_UNMET;
    }
    if (foreign) {
        complain("LD_PRELOAD lists %s, which would serve instead of the chosen NCCL or beside it", foreign);
        complain("%s is not started. To do: remove it from LD_PRELOAD, or choose it: --use %s",
                 ncr_basename(command->argv[0]), foreign);
        return EXIT_UNMET;
    }
    setenv("LD_PRELOAD", preload_with(list, command->sanitizer, preload_entry(shim)), 1);
    return 0;
}

static int become(const struct command *command) {
    execv(command->file, command->argv);
    int error = errno;
    if (error == ENOEXEC) { /* a script without an interpreter line, as execvp treats it */
        char **shell = list_grow(NULL, 0, sizeof *shell);
        unsigned count = 0;
        for (char **at = command->argv - 1; at == command->argv - 1 || *at; at++) {
            shell = list_grow(shell, count, sizeof *shell);
            shell[count] = count == 0 ? (char *)"/bin/sh" : count == 1 ? command->file : *at;
            count++;
        }
        shell = list_grow(shell, count, sizeof *shell);
        shell[count] = NULL;
        execv("/bin/sh", shell);
        error = errno;
    }
    complain("%s cannot be executed: %s%s", command->file, strerror(error),
             error == ENOENT ? " (its interpreter, named in its first line, is not there)" : "");
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

int subcommand_run(struct request *request) {
    struct command command;
    bool rccl = false;
    double limit = 0;
    int status;
    if (request->rest_count == 0) {
        complain("run: which command? As in: nccl-redirect run --use system -- python train.py");
        return EXIT_USAGE;
    }
    if (request->watch && !watch_limit(request->watch, &limit)) {
        complain("run: --watch=%s is not a time; use seconds, such as 60", request->watch);
        return EXIT_USAGE;
    }
    if (request->watch && !request->trace && !getenv("NCCL_REDIRECT_TRACE"))
        request->trace = "1"; /* there is nothing to watch otherwise */
    apply_choice(request);
    command_resolve(&command, request->rest);
    if (command.status) {
        complain("%s", command.problem);
        return command.status;
    }
    if (!request->no_check && (status = check(&command, request, &rccl)) != 0)
        return status;
    if ((status = preload(&command, rccl)) != 0)
        return status;
    warn_of_deaf_program(&command);
    return request->watch ? run_watched(become, &command, limit) : become(&command);
}
