/* Doctor, with a command: can the preload reach it, and what really served when it ran? */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
        report(doctor, FINE, "command", NULL, "%s: what it comes to is said below, by running it", command->opaque);
    if (!command->program)
        return;
    reach_of_file(command->program, false, &reached);
    if (reached.reach == REACH_STATIC)
        report(doctor, FAILURE, "command", "build it with the shared libnccl (-lnccl, not libnccl_static.a)",
               "%s has an NCCL linked into itself: no preload reaches those calls", command->program);
}

/* ---- running it ---- */

static volatile pid_t child;

static void pass_on(int signal) {
    if (child > 0)
        kill(child, signal);
}

static int run(struct doctor *doctor, const char *folder, const char *shim) {
    fflush(NULL);
    child = fork();
    if (child == 0) {
        if (doctor->request->json) /* stdout is for our answer */
            dup2(STDERR_FILENO, STDOUT_FILENO);
        setenv("NCCL_REDIRECT_LOG", "info", 1);
        setenv("NCCL_REDIRECT_LOG_FILE", formatted("%s/%%h.%%p", folder), 1);
        setenv("LD_PRELOAD", preload_with(getenv("LD_PRELOAD"), doctor->command.sanitizer, preload_entry(shim)), 1);
        execvp(doctor->command.file, doctor->command.argv);
        complain("%s cannot be executed: %s", doctor->command.file, strerror(errno));
        _exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
    }
    const int passed[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        signal(passed[i], pass_on);
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    child = 0;
    return status;
}

struct event {
    const char *text;
    enum level level;
    unsigned processes;
};

struct events {
    struct event *list;
    unsigned count;
};

static void take_event(struct events *events, enum level level, const char *text) {
    for (unsigned i = 0; i < events->count; i++)
        if (strcmp(events->list[i].text, text) == 0) {
            events->list[i].processes++;
            return;
        }
    events->list = list_grow(events->list, events->count, sizeof *events->list);
    events->list[events->count++] = (struct event){formatted("%s", text), level, 1};
}

/* "nccl-redirect: HOST:PID: info: NCCL 2.28.9 is active: …"; other lines of level info are details. */
static void read_log(struct events *events, char *text) {
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *info = strstr(line, ": info: "), *warning = strstr(line, ": warning: "),
             *error = strstr(line, ": error: ");
        if (error)
            take_event(events, FAILURE, error + 9);
        else if (warning)
            take_event(events, WARNING, warning + 11);
        else if (info && strstr(info, " is active: "))
            take_event(events, FINE, info + 8);
        else if (info && strncmp(info + 8, "no NCCL can be used", 19) == 0)
            take_event(events, FAILURE, info + 8);
    }
}

static void read_logs(const char *folder, struct events *events) {
    DIR *logs = opendir(folder);
    for (struct dirent *entry; logs && (entry = readdir(logs));) {
        const char *path = formatted("%s/%s", folder, entry->d_name);
        char *text = entry->d_name[0] == '.' ? NULL : ncr_file_text(path, 1 << 20);
        if (text) {
            read_log(events, text);
            unlink(path);
        }
    }
    if (logs)
        closedir(logs);
    rmdir(folder);
}

static void report_events(struct doctor *doctor, const struct events *events) {
    unsigned served = 0;
    for (unsigned i = 0; i < events->count; i++) {
        const struct event *event = &events->list[i];
        served += event->level == FINE;
        report(doctor, event->level, "served", NULL, "%s%s",
               event->processes > 1 ? formatted("in %u processes: ", event->processes) : "", event->text);
    }
    if (served > 1 && !doctor->config.rule_count)
        report(doctor, FAILURE, "served", "give all ranks the same environment and the same torch",
               "%u different NCCLs served processes of this job: their collectives fail or hang", served);
    if (!events->count)
        report(doctor, WARNING, "served",
               "if it should have, the preload was lost on the way (env -i, sudo, a login shell, "
               "srun --export=NAME), or nccl-redirect inspect PROGRAM tells how it reaches NCCL",
               "no process of the command called NCCL through the preload");
}

void check_run(struct doctor *doctor) {
    const char *problem, *shim = shim_path(doctor->decision.chosen && doctor->decision.chosen->rccl, &problem);
    char *folder =
        (char *)formatted("%s/nccl-redirect-XXXXXX", ncr_environment("TMPDIR") ? ncr_environment("TMPDIR") : "/tmp");
    struct events events = {NULL, 0};
    if (!shim)
        return; /* the check of the preload has failed */
    if (!mkdtemp(folder)) {
        report(doctor, FAILURE, "run", "make TMPDIR a folder that can be written", "no folder for the log in %s: %s",
               folder, strerror(errno));
        return;
    }
    int status = run(doctor, folder, shim);
    read_logs(folder, &events);
    report_events(doctor, &events);
    if (WIFSIGNALED(status))
        report(doctor, FAILURE, "run", NULL, "%s was ended by signal %d (%s)", doctor->request->rest[0],
               WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        report(doctor, WARNING, "run", NULL, "%s ended with exit code %d", doctor->request->rest[0],
               WEXITSTATUS(status));
    else
        report(doctor, FINE, "run", NULL, "%s ended with exit code 0", doctor->request->rest[0]);
}
