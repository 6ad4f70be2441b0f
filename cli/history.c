/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect list --history: which NCCL was active in past processes, from the folder of NCCL_REDIRECT_HISTORY. */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SHOWN 100

struct records {
    struct record {
        const char *time, *line;
    } * list;
    unsigned count, broken;
};

static const char *const text_keys[] = {"time", "host",     "program", "job",    "step",   "rank",      "nccl",
                                        "rccl", "build_id", "file",    "method", "origin", "decided_by"};
static const char *const number_keys[] = {"pid", "user"};

static int by_time(const void *a, const void *b) {
    return strcmp(((const struct record *)a)->time, ((const struct record *)b)->time);
}

static void add_lines(struct records *records, char *text) {
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *time = json_member(line, "time");
        if (!time || !(json_member(line, "nccl") || json_member(line, "rccl"))) {
            records->broken++; /* cut off by a full disk, or not written by nccl-redirect */
            continue;
        }
        records->list = list_grow(records->list, records->count, sizeof *records->list);
        records->list[records->count++] = (struct record){time, line};
    }
}

/* Every HOST.jsonl; links are not followed, and the strings are never freed. False with errno. */
static bool read_folder(struct records *records, const char *path) {
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        const char *dot = strrchr(entry->d_name, '.'), *file = formatted("%s/%s", path, entry->d_name);
        if (!dot || strcmp(dot, ".jsonl") != 0 || ncr_file_link(file))
            continue;
        char *text = ncr_file_text(file, NCR_HISTORY_BYTES + (1 << 20));
        if (text)
            add_lines(records, text);
        else
            complain("%s: %s", file, strerror(errno));
    }
    if (!folder)
        return false;
    closedir(folder);
    if (records->count)
        qsort(records->list, records->count, sizeof *records->list, by_time);
    return true;
}

static long long number_of(const char *line, const char *key) {
    const char *at = strstr(line, formatted("\"%s\":", key));
    return at ? strtoll(at + strlen(key) + 3, NULL, 10) : 0;
}

static struct json *record_json(const struct record *record) {
    struct json *object = json_object();
    for (size_t i = 0; i < sizeof text_keys / sizeof *text_keys; i++)
        json_add_text(object, text_keys[i], json_member(record->line, text_keys[i]));
    for (size_t i = 0; i < sizeof number_keys / sizeof *number_keys; i++)
        json_add_number(object, number_keys[i], number_of(record->line, number_keys[i]));
    return object;
}

static const char *with(const char *word, const char *line, const char *key) {
    const char *value = json_member(line, key);
    return value ? formatted(" %s %s", word, value) : "";
}

/* Lines come from other hosts and versions, and need not have every member. */
static const char *member_or(const char *line, const char *key, const char *unknown) {
    const char *value = json_member(line, key);
    return value ? value : unknown;
}

static void show(const char *line) {
    const char *nccl = json_member(line, "nccl"), *build_id = json_member(line, "build_id");
    record_begin();
    line_add(STRONG, "%s %s", member_or(line, "time", "unknown time"), nccl ? "NCCL" : "RCCL");
    line_add(STRONG, " %s", nccl ? nccl : member_or(line, "rccl", "unknown"));
    line_add(PLAIN, "  %s:%lld %s%s%s%s", member_or(line, "host", "unknown host"), number_of(line, "pid"),
             member_or(line, "program", "unknown program"), with("job", line, "job"), with("step", line, "step"),
             with("rank", line, "rank"));
    line_end(0, 4);
    line_print(4, "%s (%s, from %s; %s decided%s)", member_or(line, "file", "unknown file"),
               member_or(line, "method", "unknown method"), member_or(line, "origin", "an unknown place"),
               member_or(line, "decided_by", "unknown"), build_id ? formatted("; build-id %.12s", build_id) : "");
    record_end();
}

static void print_records(const struct records *records, bool all) {
    unsigned first = all || records->count < MOST_SHOWN ? 0 : records->count - MOST_SHOWN;
    for (unsigned i = first; i < records->count; i++)
        show(records->list[i].line);
    if (first)
        line_print(0, "%u older ones: --all", first);
    if (!records->count)
        line_print(0, "no process was recorded");
    if (records->broken)
        line_print(0, "note: %u lines are not records, or were cut off", records->broken);
}

/** list --history[=FOLDER], without a folder that of NCCL_REDIRECT_HISTORY. */
int history_show(const struct request *request) {
    bool named = strcmp(request->history, "1") != 0; /* "1" stands for --history without a value */
    const char *folder = named ? request->history : getenv("NCCL_REDIRECT_HISTORY");
    struct records records = {.count = 0};
    if (!folder || !*folder) {
        complain("which folder? --history=FOLDER, or set NCCL_REDIRECT_HISTORY, which makes processes write there");
        return EXIT_USAGE;
    }
    if (!read_folder(&records, folder)) {
        complain("%s: %s", folder, strerror(errno));
        return EXIT_FINDING;
    }
    if (request->json) {
        struct json *object = json_object(), *list = json_list();
        for (unsigned i = 0; i < records.count; i++)
            json_add(list, NULL, record_json(&records.list[i]));
        json_add_text(object, "folder", folder);
        json_add(object, "records", list);
        json_add_number(object, "broken_lines", records.broken);
        json_print(object);
    } else {
        print_records(&records, request->all);
    }
    return EXIT_FINE;
}
