/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl-redirect explain --pid: which NCCL is active in a running process, what decided it, and what the same command line
 * would get if it were started again in the same environment.
 */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_ENVIRONMENT ((size_t)4 << 20)
#define MOST_COMMAND ((size_t)1 << 20)

/* What a start again needs, read in a child: the process's memory may not answer. */
struct start {
    int pid;
    char *environment, *command; /* texts, each ended by NUL */
    size_t environment_size, command_size;
    bool other_root; /* it has another root folder than we have */
};

static size_t read_proc(int pid, const char *name, char *into, size_t most) {
    int file = open(formatted("/proc/%d/%s", pid, name), O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    ssize_t got = 0;
    while (file >= 0 && size < most && (got = read(file, into + size, most - size)) > 0)
        size += (size_t)got;
    if (file >= 0)
        close(file);
    return size;
}

static void read_start(void *arg, unsigned item) {
    struct start *start = arg;
    struct stat own, its;
    (void)item;
    start->environment_size = read_proc(start->pid, "environ", start->environment, MOST_ENVIRONMENT);
    start->command_size = read_proc(start->pid, "cmdline", start->command, MOST_COMMAND);
    start->other_root = !ncr_file_status("/", &own) ||
                        !ncr_file_status(formatted("/proc/%d/root/", start->pid), &its) || own.st_ino != its.st_ino ||
                        own.st_dev != its.st_dev;
}

static void start_stuck(void *arg, unsigned item) {
    (void)item;
    ((struct start *)arg)->environment_size = 0;
}

/* Texts, each ended by NUL, as a list that ends with NULL. */
static char **texts(char *text, size_t size) {
    char **list = NULL;
    size_t count = 0;
    for (char *at = text; at < text + size; at += strlen(at) + 1) {
        list = list_grow(list, count, sizeof *list);
        list[count++] = at;
    }
    list = list_grow(list, count, sizeof *list);
    list[count] = NULL;
    return list;
}

static bool read_start_of(int pid, struct start *start) {
    struct start *shared = worker_memory(sizeof *shared);
    if (!shared)
        return false;
    *shared = (struct start){
        .pid = pid, .environment = worker_memory(MOST_ENVIRONMENT + 1), .command = worker_memory(MOST_COMMAND + 1)};
    if (!shared->environment || !shared->command)
        return false;
    worker_run(1, read_start, start_stuck, shared);
    *start = *shared;
    return start->environment_size > 0;
}

/* ---- the start again ---- */

struct restart {
    struct ncr_config config;
    struct decision decision;
    bool decided;
    const char *unknown; /* why it is not decided, or what may be different in truth */
};

extern char **environ;

/* Our own environment becomes the process's: the loader reads it there. */
static void restart_decide(const struct process *process, struct restart *restart) {
    struct start start;
    struct command command;
    *restart = (struct restart){.decided = false};
    if (!read_start_of(process->pid, &start)) {
        restart->unknown = "its environment cannot be read";
        return;
    }
    environ = texts(start.environment, start.environment_size);
    ncr_config_read(&restart->config);
    if (start.other_root) {
        restart->unknown = "it has another root folder (a container?): run nccl-redirect explain there";
        return;
    }
    bool own = process->user == geteuid();
    if (own && chdir(formatted("/proc/%d/cwd", process->pid)) != 0)
        restart->unknown = "its folder is gone";
    command_resolve(&command, texts(start.command, start.command_size));
    if (own)
        decide(&restart->decision, &restart->config, &command.subject);
    else
        decide_untried(&restart->decision, &restart->config, &command.subject);
    restart->unknown = command.opaque ? command.opaque : restart->unknown;
    restart->decided = true;
}

/* ---- output ---- */

static bool is_same(const struct process *process, const struct considered *chosen) {
    return chosen && process->nccl_count == 1 && !process->nccls[0].deleted &&
           strcmp(chosen->real_path ? chosen->real_path : chosen->candidate.path, process->nccls[0].path) == 0;
}

static const char *restart_text(const struct restart *restart) {
    const struct considered *chosen = restart->decision.chosen;
    if (!restart->decided)
        return formatted("is not known: %s", restart->unknown);
    if (!chosen)
        return formatted("gets no NCCL: %s", decision_failure(&restart->decision));
    return formatted("gets %s %s, %s (%s, from %s)%s%s", chosen->rccl ? "RCCL" : "NCCL", version_text(chosen->version),
                     chosen->candidate.path, ncr_method_name(chosen->candidate.method), chosen->candidate.origin,
                     restart->unknown ? "; but " : "", restart->unknown ? restart->unknown : "");
}

static void show(const struct process *process, const struct restart *restart) {
    for (unsigned i = 0; i < process->nccl_count; i++)
        pair_print(14, PLAIN, i ? "and" : "file", "%s%s%s", process->nccls[i].path,
                   process->nccls[i].build_id ? ", build " : "",
                   process->nccls[i].build_id ? formatted("%.8s", process->nccls[i].build_id) : "");
    pair_print(14, PLAIN, "preload", "%s",
               process->shim              ? process->shim
               : process->listed          ? formatted("not loaded, though LD_PRELOAD lists %s", process->listed)
               : process->ignores_preload ? "has no effect on this program"
                                          : "no");
    if (restart->config.decided_by)
        pair_print(14, PLAIN, "decided by", "%s%s",
                   process->shim ? "" : "the dynamic loader; with the preload library: ", restart->config.decided_by);
    if (restart->config.require_text)
        pair_print(14, PLAIN, "required", "%s", restart->config.require_text);
    pair_print(14, is_same(process, restart->decision.chosen) ? PLAIN : DOUBTFUL, "if restarted", "%s%s%s",
               process->shim ? "" : "with the preload library it ", restart_text(restart),
               is_same(process, restart->decision.chosen) ? ", the same" : "");
    if (process->finding) {
        pair_print(14, BAD, "finding", "%s", process->finding);
        pair_print(14, PLAIN, "fix", "%s", process->fix);
    }
    if (process->note)
        pair_print(14, PLAIN, "note", "%s", process->note);
}

static void show_title(const struct process *process) {
    line_add(PLAIN, "process %d (%s): ", process->pid, start_of(60, process->command));
    if (!process->readable)
        line_add(BAD, "it cannot be read; root can");
    else if (process->nccl_count > 1)
        line_add(BAD, "%u NCCLs at once", process->nccl_count);
    else if (process->nccl_count)
        line_add(STRONG, "NCCL %s is active", version_text(process->nccls[0].version));
    else
        line_add(PLAIN, "NCCL is not used yet");
    line_end(0, 0);
}

static void show_json(const struct process *process, const struct restart *restart) {
    struct json *object = json_object();
    const struct considered *chosen = restart->decision.chosen;
    json_add(object, "process", ps_process_json(process));
    json_add_text(object, "decided_by", restart->config.decided_by);
    json_add_text(object, "required", restart->config.require_text);
    json_add(object, "restart", chosen ? considered_json(chosen) : NULL);
    json_add_text(object, "failure", restart->decided && !chosen ? decision_failure(&restart->decision) : NULL);
    json_add_text(object, "unknown", restart->unknown);
    json_add_bool(object, "same", is_same(process, chosen));
    json_print(object);
}

/** The answer for one process id. */
int explain_process(const struct request *request) {
    struct processes processes;
    struct restart restart = {.decided = false};
    int pid = pid_of_word(request->pid);
    if (!pid) {
        complain("explain: --pid=%s is not a process id; use a number above 0", request->pid);
        return EXIT_USAGE;
    }
    processes_read(&processes);
    const struct process *process = process_of(&processes, pid);
    if (!process) {
        complain("there is no process %d", pid);
        return EXIT_FINDING;
    }
    if (!request->json)
        show_title(process);
    if (process->readable)
        restart_decide(process, &restart);
    if (request->json)
        show_json(process, &restart);
    else if (process->readable)
        show(process, &restart);
    return process->finding || !process->readable ? EXIT_FINDING : EXIT_FINE;
}
