/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor, with a command: can the preload library reach it? */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static void check_losses(struct doctor *doctor) {
    const struct command *command = &doctor->command;
    for (unsigned i = 0; i < command->loss_count; i++)
        report(doctor, command->losses[i].certain ? FAILURE : WARNING, "launcher", command->losses[i].fix, "%s",
               command->losses[i].text);
}

/* A Python file that sets a variable which is read before Python runs it. */
static void check_script(struct doctor *doctor) {
    for (char **at = doctor->request->rest; *at; at++) {
        size_t length = strlen(*at);
        char *text = length > 3 && strcmp(*at + length - 3, ".py") == 0 ? ncr_file_text(*at, 1 << 20) : NULL;
        const char *hit = text ? strstr(text, "environ[\"LD_PRELOAD\"]") : NULL;
        hit = hit || !text ? hit : strstr(text, "environ['LD_PRELOAD']");
        if (!hit)
            continue;
        unsigned line = 1;
        for (const char *c = text; c < hit; c++)
            line += *c == '\n';
        report(doctor, WARNING, "set too late", "set it before Python starts: nccl-redirect run -- python …",
               "%s sets LD_PRELOAD in line %u: it has no effect on this Python, only on programs "
               "that it starts",
               *at, line);
    }
}

void check_command(struct doctor *doctor) {
    const struct command *command = &doctor->command;
    struct reached reached;
    if (!command->argv || !*command->argv)
        return;
    if (command->status) {
        report(doctor, FAILURE, "command", "correct the command", "%s", command->problem);
        return;
    }
    check_losses(doctor);
    check_script(doctor);
    if (command->opaque)
        report(doctor, FINE, "command", NULL, "%s; the checks below show what happens when it runs", command->opaque);
    if (!command->program)
        return;
    reach_of_file(command->program, false, &reached);
    if (reached.reach == REACH_STATIC)
        report(doctor, FAILURE, "command", "build it with the shared libnccl (-lnccl, not libnccl_static.a)",
               "%s has an NCCL linked into itself: a preload library cannot reach those calls", command->program);
}
