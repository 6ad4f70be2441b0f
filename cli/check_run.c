/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor, with a command: what was really active when it ran, and was it the choice? */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
        else if (info && ncr_begins(info + 8, "no NCCL can be used"))
            take_event(events, FAILURE, info + 8);
    }
}

static void read_logs(const char *folder, struct events *events) {
    DIR *logs = opendir(folder);
    for (struct dirent *entry; logs && (entry = readdir(logs));) {
        const char *path = formatted("%s/%s", folder, entry->d_name);
        char *text = entry->d_name[0] == '.' ? NULL : ncr_file_text(path, 1 << 20);
        if (text)
            read_log(events, text);
    }
    if (logs)
        closedir(logs);
}

/* ---- was it what was expected? ---- */

/* What a line says: "NCCL 2.28.9 is active: PATH (METHOD, from ORIGIN; decided by WHAT), build 9fcf74d9". */
struct active {
    const char *path, *method, *decided_by;
};

static bool parse_active(const char *text, struct active *active) {
    const char *path = strstr(text, " is active: "), *details = path ? strstr(path, " (") : NULL;
    const char *decided = details ? strstr(details, "; decided by ") : NULL,
               *end = decided ? strrchr(decided, ')') : NULL;
    if (!end)
        return false;
    path += strlen(" is active: ");
    active->path = formatted("%.*s", (int)(details - path), path);
    active->method = formatted("%.*s", (int)(decided - details - 2), details + 2);
    decided += strlen("; decided by ");
    active->decided_by = formatted("%.*s", (int)(end - decided), decided);
    return true;
}

static bool same_file(const char *a, const char *b) {
    struct stat first, second;
    if (strcmp(a, b) == 0)
        return true;
    return ncr_file_status(a, &first) && ncr_file_status(b, &second) && first.st_ino == second.st_ino &&
           first.st_dev == second.st_dev;
}

/*
 * The choice was made for this command in this environment; a process that decided otherwise had another environment.
 */
static void compare_with_choice(struct doctor *doctor, const struct event *event) {
    const struct considered *chosen = doctor->decision.chosen;
    const struct ncr_config *config = &doctor->config;
    struct active active;
    if (!chosen || config->rule_count || !parse_active(event->text, &active) ||
        same_file(active.path, chosen->candidate.path))
        return;
    bool other_variable = strcmp(active.decided_by, config->decided_by) != 0;
    report(doctor, config->choice == NCR_CHOOSE_AUTO ? WARNING : FAILURE, "active",
           other_variable
               ? "set the variable only where the job is started, or to the same value everywhere"
               : "see what the command changes before it starts the program (a module, LD_LIBRARY_PATH, another "
                 "Python), or name the file: --use /path/libnccl.so.2",
           "%s is active instead of the choice above, %s: there it was %s", active.path, chosen->candidate.path,
           other_variable ? formatted("decided by %s", active.decided_by)
                          : formatted("found by %s, here by %s, from %s", active.method,
                                      ncr_method_name(chosen->candidate.method), chosen->candidate.origin));
}

static void report_events(struct doctor *doctor, const struct events *events) {
    unsigned active = 0;
    for (unsigned i = 0; i < events->count; i++) {
        const struct event *event = &events->list[i];
        active += event->level == FINE;
        report(doctor, event->level, "active", NULL, "%s%s",
               event->processes > 1 ? formatted("in %u processes: ", event->processes) : "", event->text);
        if (event->level == FINE)
            compare_with_choice(doctor, event);
    }
    if (active > 1 && !doctor->config.rule_count)
        report(doctor, FAILURE, "active", "give all ranks the same environment and the same torch",
               "%u different NCCLs were active in processes of this job: their collectives fail or hang", active);
    if (!events->count)
        report(
            doctor, WARNING, "active",
            "if it should have, the preload library was lost on the way (env -i, sudo, a login shell, srun --export=NAME), or "
            "nccl-redirect inspect PROGRAM tells how it reaches NCCL",
            "no process of the command called NCCL through the preload library");
}

void check_run(struct doctor *doctor) {
    const char *problem, *shim = shim_path(doctor->decision.chosen && doctor->decision.chosen->rccl, &problem);
    struct events events = {NULL, 0};
    if (!shim)
        return; /* the check of the preload has failed */
    const char *folder = temporary_folder(&problem);
    if (!folder) {
        report(doctor, FAILURE, "run", "set TMPDIR to a folder that can be written", "%s", problem);
        return;
    }
    int status = run(doctor, folder, shim);
    read_logs(folder, &events);
    temporary_folder_remove(folder);
    report_events(doctor, &events);
    if (WIFSIGNALED(status))
        report(doctor, FAILURE, "run", NULL, "%s was ended by signal %d (%s)", doctor->request->rest[0],
               WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        report(doctor, FAILURE, "run", NULL, "%s ended with exit code %d", doctor->request->rest[0],
               WEXITSTATUS(status));
    else
        report(doctor, FINE, "run", NULL, "%s ended with exit code 0", doctor->request->rest[0]);
}
