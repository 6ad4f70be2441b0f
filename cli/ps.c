/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect ps: running processes, which NCCL is active in each, and which lost the preload library. */
#include "cli.h"

#include <fnmatch.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *preload_word(const struct process *process) {
    return process->unresponsive      ? "no answer"
           : !process->readable       ? "unreadable"
           : process->shim            ? "yes"
           : process->lost            ? "lost"
           : process->ignores_preload ? "no effect"
                                      : "no";
}

static const char *nccl_word(const struct process *process) {
    if (!process->nccl_count)
        return process->shim ? "not used yet" : "-";
    if (process->nccl_count > 1)
        return formatted("%u at once", process->nccl_count);
    return process->nccls[0].version ? version_text(process->nccls[0].version) : "unknown";
}

static const char *user_name(unsigned user) {
    static struct {
        unsigned user;
        const char *name;
    } * known;
    static unsigned count;
    for (unsigned i = 0; i < count; i++)
        if (known[i].user == user)
            return known[i].name;
    struct passwd *entry = getpwuid(user);
    known = list_grow(known, count, sizeof *known);
    known[count].user = user;
    known[count].name = entry ? formatted("%s", entry->pw_name) : formatted("%u", user);
    return known[count++].name;
}

/* As ps writes it, shorter: "42s", "3m", "5h", "12d". */
static const char *age_text(long long age) {
    return age < 0       ? "?"
           : age < 60    ? formatted("%llds", age)
           : age < 3600  ? formatted("%lldm", age / 60)
           : age < 86400 ? formatted("%lldh", age / 3600)
                         : formatted("%lldd", age / 86400);
}

static void show(const struct process *process) {
    enum tone tone = process->finding ? (process->nccl_count ? BAD : DOUBTFUL) : process->shim ? GOOD : PLAIN;
    record_begin();
    line_add(PLAIN, "%8d  %-8s %4s  ", process->pid, user_name(process->user), age_text(process->age));
    line_add(tone, "%-10s", preload_word(process));
    line_add(PLAIN, "  %-13s ", nccl_word(process));
    line_add(PLAIN, "%s", output_is_for_programs() ? process->command : start_of(60, process->command));
    line_end(0, 26);
    for (unsigned i = 0; i < process->nccl_count; i++)
        line_print(26, "%s", process->nccls[i].path);
    if (process->finding)
        line_print(26, "%s. Fix: %s", process->finding, process->fix);
    if (process->note)
        line_print(26, "Note: %s", process->note);
    record_end();
}

static struct json *nccls_json(const struct process *process) {
    struct json *list = json_list();
    for (unsigned i = 0; i < process->nccl_count; i++) {
        const struct mapped_nccl *nccl = &process->nccls[i];
        struct json *object = json_object();
        json_add_text(object, "path", nccl->path);
        json_add_text(object, "version", nccl->version ? version_text(nccl->version) : NULL);
        json_add_text(object, "build_id", nccl->build_id);
        json_add_bool(object, "deleted", nccl->deleted);
        json_add_text(object, "problem", nccl->problem);
        json_add(list, NULL, object);
    }
    return list;
}

struct json *ps_process_json(const struct process *process) {
    struct json *object = json_object();
    struct names paths = {NULL, 0};
    for (unsigned i = 0; i < process->nccl_count; i++)
        names_add(&paths, process->nccls[i].path);
    int version = process->nccl_count ? process->nccls[0].version : 0;
    json_add_number(object, "pid", process->pid);
    json_add_number(object, "parent", process->parent);
    json_add_number(object, "user", process->user);
    json_add_text(object, "user_name", user_name(process->user));
    json_add_number(object, "age", process->age);
    json_add_text(object, "command", process->command);
    json_add_text(object, "preload", preload_word(process));
    json_add_text(object, "shim", process->shim);
    json_add_bool(object, "listed", process->listed != NULL);
    json_add_text(object, "redirect", process->redirect);
    json_add_text(object, "version", version ? version_text(version) : NULL);
    json_add_names(object, "libraries", &paths);
    json_add(object, "nccls", nccls_json(process));
    json_add_text(object, "finding", process->finding);
    json_add_text(object, "fix", process->finding ? process->fix : NULL);
    json_add_text(object, "note", process->note);
    return object;
}

/* ---- which processes ---- */

/** The process id as a number, 0 if it is not one. */
int pid_of_word(const char *word) {
    char *end;
    long pid = strtol(word, &end, 10);
    return *word && !*end && pid > 0 && pid < 1 << 30 ? (int)pid : 0;
}

/* A word that is no number is a part of the command line, or a shell pattern for all of it. */
static bool matches(const struct process *process, const char *word) {
    if (pid_of_word(word))
        return pid_of_word(word) == process->pid;
    return strpbrk(word, "*?[") ? fnmatch(word, process->command, 0) == 0 : strstr(process->command, word) != NULL;
}

/* The tool itself and the shells that started it have the word in their command lines, too. */
static bool is_own(const struct processes *processes, const struct process *process) {
    char *stat = ncr_file_text("/proc/self/stat", 64);
    int pid = stat ? atoi(stat) : 0;
    free(stat);
    for (int steps = 0; pid > 1 && steps < 64; steps++) {
        const struct process *at = process_of(processes, pid);
        if (at == process)
            return true;
        pid = at ? at->parent : 0;
    }
    return false;
}

static bool is_named(const struct processes *processes, const struct process *process, const char *word) {
    return matches(process, word) && (pid_of_word(word) || !is_own(processes, process));
}

static bool is_wanted(const struct processes *processes, const struct process *process, const struct request *request) {
    for (int i = 0; i < request->rest_count; i++)
        if (is_named(processes, process, request->rest[i]))
            return true;
    return request->rest_count == 0 && (request->all || process_concerned(process));
}

static int check_words(const struct request *request, const struct processes *processes) {
    for (int i = 0; i < request->rest_count; i++) {
        const char *word = request->rest[i];
        bool found = false;
        for (unsigned j = 0; j < processes->count; j++)
            found |= is_named(processes, &processes->list[j], word);
        if (!*word || (strspn(word, "-0123456789") == strlen(word) && !pid_of_word(word))) {
            complain("\"%s\" is not a process id; use a number above 0, a part of a command line, or a pattern such as "
                     "'*train*'",
                     word);
            return EXIT_USAGE;
        }
        if (!found) {
            complain(pid_of_word(word) ? "there is no process %s" : "no process has \"%s\" in its command line", word);
            return EXIT_FINDING;
        }
    }
    return EXIT_FINE;
}

static void show_rest(const struct request *request, const struct processes *processes, unsigned shown) {
    if (!shown)
        line_print(0, "no process that can be read has the preload library or uses NCCL");
    if (processes->hidden && !request->rest_count)
        line_print(0, "%u process%s cannot be read%s", processes->hidden, processes->hidden == 1 ? "" : "es",
                   geteuid() == 0 ? "" : "; root can");
    if (processes->unread)
        line_print(0, "stopped after %d s: %u process%s not read", WORKER_TIME_MS / 1000, processes->unread,
                   processes->unread == 1 ? " was" : "es were");
}

int subcommand_ps(struct request *request) {
    struct processes processes;
    unsigned shown = 0, findings = 0;
    struct json *list = json_list();
    processes_read(&processes);
    int status = check_words(request, &processes);
    if (status)
        return status;
    for (unsigned i = 0; i < processes.count; i++) {
        const struct process *process = &processes.list[i];
        if (!is_wanted(&processes, process, request))
            continue;
        findings += process->finding != NULL;
        if (request->json) {
            json_add(list, NULL, ps_process_json(process));
            continue;
        }
        if (shown++ == 0)
            line_print(0, "%8s  %-8s %4s  %-10s  %-13s %s", "pid", "user", "age", "preload", "NCCL", "command");
        show(process);
    }
    if (request->json) {
        struct json *object = json_object();
        json_add(object, "processes", list);
        json_add_number(object, "unreadable", processes.hidden);
        json_add_number(object, "unread", processes.unread);
        json_print(object);
    } else {
        show_rest(request, &processes, shown);
    }
    return findings ? EXIT_FINDING : EXIT_FINE;
}
