/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect run: check, then become the command. */
#include "traces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuse(const struct command *command, const char *what, const char *fix) {
    complain("%s", what);
    complain("%s is not started. Fix: %s", ncr_basename(command->argv[0]), fix);
    return EXIT_UNMET;
}

/* LD_PRELOAD will not arrive: better said now than found out at 3 a.m. With --strict it is an error. */
static int report_losses(const struct command *command, const struct request *request) {
    for (unsigned i = 0; i < command->loss_count; i++) {
        const struct loss *loss = &command->losses[i];
        if (loss->certain && request->strict)
            return refuse(command, loss->text, loss->fix);
        complain("warning: %s. Fix: %s", loss->text, loss->fix);
    }
    return 0;
}

/* Was there an NCCL that only the range excluded? Then no program can get a better one from here. */
static bool is_out_of_range(const struct decision *decision) {
    for (unsigned i = 0; decision->config.require_text && i < decision->count; i++)
        if (decision->list[i].outcome == NCR_REFUSED && strstr(decision->list[i].why, "outside NCCL_REDIRECT_REQUIRE"))
            return true;
    return false;
}

/* Is it wrong whatever the command turns out to be? */
static bool is_known_wrong(const struct command *command, const struct decision *decision) {
    const struct ncr_config *config = &decision->config;
    if (config->choice == NCR_CHOOSE_NOTHING || !command->opaque)
        return true;
    return !command->elsewhere && (config->choice == NCR_CHOOSE_PATH || is_out_of_range(decision));
}

static int validate_choice(const struct command *command, const struct request *request, bool *rccl) {
    struct ncr_config config;
    struct decision decision;
    ncr_config_read(&config);
    decide(&decision, &config, &command->subject);
    *rccl = decision.chosen && decision.chosen->rccl;
    if (decision.chosen)
        return 0;
    if (config.choice == NCR_CHOOSE_AUTO && !request->strict && !config.require_text) {
        complain(
            "warning: no NCCL of torch, the program or the system is found here (nccl-redirect explain tells where "
            "it looked); what the command brings itself will be used");
        return 0;
    }
    if (!is_known_wrong(command, &decision)) {
        complain("warning: %s, as seen from here. %s is started all the same: %s", decision_failure(&decision),
                 ncr_basename(command->argv[0]), command->opaque);
        return 0;
    }
    return refuse(command, decision_failure(&decision), decision_fix(&decision));
}

static int preload(const struct command *command, bool rccl) {
    const char *problem, *list = getenv("LD_PRELOAD"), *shim = shim_path(rccl, &problem);
    const char *foreign = foreign_nccl_in(list);
    if (!shim) {
        complain("%s", problem);
        return EXIT_UNMET;
    }
    if (foreign)
        return refuse(
            command,
            formatted("LD_PRELOAD lists %s, which would be used instead of the chosen NCCL or beside it", foreign),
            formatted("remove it from LD_PRELOAD, or choose it: --use %s", foreign));
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
    status = choice_apply(request, &command);
    if (command.status) {
        complain("%s", command.problem);
        return command.status;
    }
    if (status)
        return status;
    if (!request->no_check && (status = validate_choice(&command, request, &rccl)) != 0)
        return status;
    if ((status = report_losses(&command, request)) != 0 || (status = preload(&command, rccl)) != 0)
        return status;
    return request->watch ? run_watched(become, &command, limit) : become(&command);
}
