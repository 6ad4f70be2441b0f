/* SPDX-License-Identifier: Apache-2.0 */
/* Opening traces for the subcommands that read them, and findings as JSON. */
#include "traces.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int pid_of(const char *word) {
    char *end;
    long pid = strtol(word, &end, 10);
    return *word && !*end && pid > 0 && pid < 1 << 30 ? (int)pid : 0;
}

/* The folder that the environment names, as the preload library reads it; else the standard one. */
static const char *folder_of_environment(void) {
    const char *value = getenv("NCCL_REDIRECT_TRACE");
    return value && *value == '/' ? value : trace_standard_folder();
}

/* A variable out of /proc/PID/environ; NULL if it is not there, or cannot be read. */
static const char *variable_of(int pid, const char *name) {
    char *text = NULL;
    size_t room = 0, length = strlen(name);
    const char *found = NULL;
    FILE *file = fopen(formatted("/proc/%d/environ", pid), "re");
    while (file && !found && getdelim(&text, &room, '\0', file) > 0)
        if (strncmp(text, name, length) == 0 && text[length] == '=')
            found = formatted("%s", text + length + 1);
    if (file)
        fclose(file);
    free(text);
    return found;
}

/* Where a process records, if it does. */
static const char *folder_of(int pid) {
    const char *value = variable_of(pid, "NCCL_REDIRECT_TRACE");
    return value && *value == '/' ? value : trace_standard_folder();
}

static bool is_named_pid(const struct trace_file *file, char **names) {
    for (; *names; names++)
        if (pid_of(*names) == file->header.pid && trace_is_of_this_host(file))
            return true;
    return false;
}

/*
 * From folders that were opened for certain processes, keep their files and those that share a communicator with them.
 */
static void keep_processes(struct trace_set *set, char **names) {
    bool *wanted = trace_take(set->count, sizeof *wanted), more = true;
    for (unsigned i = 0; i < set->count; i++)
        wanted[i] = is_named_pid(set->files[i], names);
    while (more) {
        more = false;
        for (unsigned i = 0; i < set->count; i++)
            for (unsigned k = 0; k < set->count && !wanted[i]; k++)
                for (unsigned a = 0; wanted[k] && a < set->files[i]->comm_count; a++)
                    for (unsigned b = 0; b < set->files[k]->comm_count; b++)
                        if (set->files[i]->comms[a].identity == set->files[k]->comms[b].identity)
                            wanted[i] = more = true;
    }
    trace_set_keep(set, wanted);
    free(wanted);
}

/* By rank, then by host and name. */
static int by_rank(const void *a, const void *b) {
    const struct trace_file *one = *(struct trace_file *const *)a, *other = *(struct trace_file *const *)b;
    unsigned x = (unsigned)one->global_rank, y = (unsigned)other->global_rank;
    return x != y ? (x < y ? -1 : 1) : strcmp(one->path, other->path);
}

/** Drops processes that made no communicator: launchers, and who only asked for an id. */
void traces_keep_ranks(struct trace_set *set) {
    bool *wanted = trace_take(set->count, sizeof *wanted);
    for (unsigned i = 0; i < set->count; i++)
        wanted[i] = set->files[i]->comm_count > 0;
    trace_set_keep(set, wanted);
    free(wanted);
}

unsigned traces_open(struct trace_set *set, char **names, bool current) {
    bool pids = false;
    *set = (struct trace_set){0};
    if (!*names && access(folder_of_environment(), F_OK) == 0)
        trace_set_add(set, folder_of_environment());
    for (char **name = names; *name; name++) {
        bool pid = pid_of(*name) && access(*name, F_OK) != 0;
        trace_set_add(set, pid ? folder_of(pid_of(*name)) : *name);
        pids |= pid;
    }
    if (pids)
        keep_processes(set, names);
    else if (current)
        trace_keep_current(set);
    if (set->count)
        qsort(set->files, set->count, sizeof *set->files, by_rank); /* NOLINT(bugprone-sizeof-expression) */
    return set->count;
}

void progress_print(void *arg, const char *what, unsigned done, unsigned all) {
    (void)arg;
    if (!isatty(STDERR_FILENO) || all < 16)
        return;
    fprintf(stderr, done == all ? "\r\033[K" : "\r%s: %u of %u", what, done, all);
    fflush(stderr);
}

void traces_match(struct trace_set *set) {
    trace_comms_join(set);
    trace_clocks_align(set);
    trace_match(set, progress_print, NULL);
}

/** Why there is nothing to read, and what to do. */
void traces_explain_absence(const struct trace_set *set, char **names) {
    for (unsigned i = 0; i < set->refused_count && i < 5; i++)
        complain("%s: %s", set->refused[i].path, set->refused[i].why);
    if (!*names)
        complain(
            "no trace in %s; start the job with nccl-redirect run --trace, or with NCCL_REDIRECT_TRACE=1, or name the "
            "folder that it records in",
            folder_of_environment());
    else
        complain(
            "no trace in what was named; a traced process has a file *%s in its folder from its first call of NCCL on",
            TRACE_SUFFIX);
}

/* ---- findings ---- */

static struct json *ranks_json(const struct trace_set *set, const struct trace_finding *finding,
                               const unsigned *members, unsigned count) {
    struct json *list = json_list();
    for (unsigned i = 0; i < count; i++) {
        const struct trace_member *member = &set->communicators[finding->communicator].members[members[i]];
        const struct trace_file *file = set->files[member->file];
        static const char *const lives[] = {"unknown", "running", "stopped", "exited", "gone"};
        struct json *rank = json_object();
        json_add_number(rank, "rank", member->rank);
        json_add_number(rank, "global_rank", file->global_rank);
        json_add_text(rank, "host", file->host);
        json_add_number(rank, "pid", file->header.pid);
        json_add_text(rank, "process", lives[file->life]);
        json_add_text(rank, "trace", file->path);
        json_add(list, NULL, rank);
    }
    return list;
}

static struct json *call_json(const struct trace_set *set, const struct trace_finding *finding) {
    const struct trace_record *record = &finding->record;
    struct json *call = json_object();
    json_add_text(call, "function", finding->function ? trace_call(finding->function)->name : NULL);
    json_add_number(call, "number", (long long)finding->call);
    bool known = record->sequence != 0;
    json_add_number(call, "count", known ? (long long)record->count : -1);
    json_add_text(call, "type", known && record->type != TRACE_NO_TYPE ? trace_type_name(record->type) : NULL);
    json_add_text(call, "operator", known && record->op != TRACE_NO_OPERATOR ? trace_operator_name(record->op) : NULL);
    json_add_number(call, "peer", known ? record->peer : -1);
    json_add_text(call, "caller",
                  known && finding->file >= 0 ? trace_caller_name(set->files[finding->file], record) : NULL);
    return call;
}

struct json *findings_json(const struct trace_set *set, const struct trace_findings *findings) {
    struct json *list = json_list();
    for (unsigned i = 0; i < findings->count; i++) {
        const struct trace_finding *finding = &findings->list[i];
        struct json *one = json_object();
        json_add_text(one, "kind", trace_kind_name(finding->kind));
        json_add_text(one, "meaning", trace_kind_meaning(finding->kind));
        json_add_text(one, "certainty", trace_certainty_name(finding->certainty));
        json_add_text(one, "sentence", ncr_text_get(&finding->sentence));
        json_add_text(one, "doubts", finding->doubts.length ? ncr_text_get(&finding->doubts) : NULL);
        json_add_text(one, "communicator",
                      finding->communicator >= 0 ? set->communicators[finding->communicator].label : NULL);
        json_add(one, "call", finding->function || finding->call ? call_json(set, finding) : NULL);
        json_add(one, "ranks", ranks_json(set, finding, finding->members, finding->member_count));
        json_add(one, "others", ranks_json(set, finding, finding->others, finding->other_count));
        long long waited = finding->since ? (trace_set_now(set) - finding->since) / 1000000 : -1;
        json_add_number(one, "waited_ms", waited);
        json_add(list, NULL, one);
    }
    return list;
}
