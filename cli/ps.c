/* nccl-redirect ps: running processes, which NCCL serves them, and who lost the preload. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const char *preload_word(const struct process *process) {
    return !process->readable ? "unreadable"
           : process->shim    ? "yes"
           : process->lost    ? "lost"
           : process->deaf    ? "no effect"
                              : "no";
}

static const char *nccl_word(const struct process *process) {
    if (!process->nccls.count)
        return process->shim ? "not used yet" : "-";
    return process->nccls.count > 1 ? make("%u at once", process->nccls.count) : version_text(process->version);
}

static void show(const struct process *process) {
    const char *preload = preload_word(process), *nccl = nccl_word(process);
    enum tone tone = process->finding ? (process->nccls.count ? BAD : DOUBTFUL) : process->shim ? GOOD : PLAIN;
    printf("%8d  %s%*s  %-13s %.60s\n", process->pid, tinted(tone, preload), (int)(10 - strlen(preload)), "", nccl,
           process->command);
    for (unsigned i = 0; i < process->nccls.count; i++)
        put(22, "%s", process->nccls.list[i]);
    if (process->finding)
        put(22, "%s. To do: %s", process->finding, process->cure);
}

static cJSON *process_json(const struct process *process) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "pid", process->pid);
    cJSON_AddNumberToObject(object, "parent", process->parent);
    cJSON_AddNumberToObject(object, "user", process->user);
    json_text(object, "command", process->command);
    json_text(object, "preload", preload_word(process));
    json_text(object, "shim", process->shim);
    cJSON_AddBoolToObject(object, "listed", process->listed);
    json_text(object, "redirect", process->redirect);
    json_text(object, "version", process->nccls.count && process->version ? version_text(process->version) : NULL);
    cJSON_AddItemToObject(object, "libraries", json_names(&process->nccls));
    json_text(object, "finding", process->finding);
    json_text(object, "cure", process->finding ? process->cure : NULL);
    return object;
}

static bool wanted(const struct process *process, const struct request *request) {
    for (int i = 0; i < request->rest_count; i++)
        if (atoi(request->rest[i]) == process->pid)
            return true;
    return request->rest_count == 0 && (request->all || process_concerned(process));
}

static int check_ids(const struct request *request, const struct processes *processes) {
    for (int i = 0; i < request->rest_count; i++) {
        char *end;
        long pid = strtol(request->rest[i], &end, 10);
        bool found = false;
        for (unsigned j = 0; j < processes->count; j++)
            found |= processes->list[j].pid == pid;
        if (*end || pid <= 0) {
            complain("\"%s\" is not a process id", request->rest[i]);
            return EXIT_USAGE;
        }
        if (!found) {
            complain("there is no process %ld", pid);
            return EXIT_FINDING;
        }
    }
    return EXIT_FINE;
}

int verb_ps(struct request *request) {
    struct processes processes;
    unsigned shown = 0, findings = 0;
    cJSON *list = cJSON_CreateArray();
    processes_read(&processes);
    int status = check_ids(request, &processes);
    if (status)
        return status;
    for (unsigned i = 0; i < processes.count; i++) {
        const struct process *process = &processes.list[i];
        if (!wanted(process, request))
            continue;
        findings += process->finding != NULL;
        if (request->json) {
            cJSON_AddItemToArray(list, process_json(process));
            continue;
        }
        if (shown++ == 0)
            puts("     pid  preload     NCCL          command");
        show(process);
    }
    if (request->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddItemToObject(object, "processes", list);
        cJSON_AddNumberToObject(object, "unreadable", processes.hidden);
        put_json(object);
    } else {
        if (!shown)
            put(0, "no process that can be read has the preload or maps a NCCL");
        if (processes.hidden && !request->rest_count)
            put(0, "%u process%s of other users cannot be read; root can", processes.hidden,
                processes.hidden == 1 ? "" : "es");
    }
    return findings ? EXIT_FINDING : EXIT_FINE;
}
