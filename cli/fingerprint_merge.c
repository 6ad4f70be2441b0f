/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect fingerprint --merge: the lines of many hosts, as launchers hand them over, compared. */
#include "cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LINE 65536

struct group {
    struct fingerprint print; /* of the first host */
    bool paths_differ;
    struct names hosts;
};

struct groups {
    struct group *list;
    unsigned count;
};

/* What two hosts must have in common. */
static const char *identity(const struct fingerprint *print) {
    return print->build_id ? print->build_id : print->sha256 ? print->sha256 : "-";
}

static bool same(const struct fingerprint *a, const struct fingerprint *b) {
    const char *first = identity(a), *second = identity(b);
    if (a->sha256 && b->sha256)
        first = a->sha256, second = b->sha256;
    return strcmp(a->version, b->version) == 0 && strcmp(first, second) == 0;
}

static void take(struct groups *groups, const struct fingerprint *print) {
    struct group *group = NULL;
    for (unsigned i = 0; i < groups->count && !group; i++)
        if (same(&groups->list[i].print, print))
            group = &groups->list[i];
    if (!group) {
        groups->list = list_grow(groups->list, groups->count, sizeof *groups->list);
        group = &groups->list[groups->count++];
        *group = (struct group){.print = *print};
    }
    group->paths_differ |= strcmp(group->print.path, print->path) != 0;
    if (!names_have(&group->hosts, print->host))
        names_add(&group->hosts, print->host);
}

/* ---- lines ---- */

static bool is_version(const char *word) {
    return strcmp(word, "none") == 0 || strcmp(word, "?") == 0 ||
           (isdigit((unsigned char)*word) && strchr(word, '.') && !word[strspn(word, "0123456789.")]);
}

static bool is_identity(const char *word) {
    size_t length = strspn(word, "0123456789abcdef");
    return strcmp(word, "-") == 0 || (length >= 2 && !word[length]);
}

/* "version identity path host" from the start of `line` on; a path may hold blanks, so the host is the last word. */
static bool parse_text(const char *line, struct fingerprint *print) {
    char *version = (char *)formatted("%s", line), *sum = strchr(version, ' '),
         *path = sum ? strchr(sum + 1, ' ') : NULL;
    char *host = path ? strrchr(path + 1, ' ') : NULL;
    if (!host)
        return false;
    *sum++ = *path++ = *host++ = '\0';
    if (!is_version(version) || !is_identity(sum) || !*host || (*path != '/' && strcmp(path, "-") != 0))
        return false;
    *print = (struct fingerprint){.version = version, .path = path, .host = host};
    if (strlen(sum) == 64)
        print->sha256 = sum;
    else if (strcmp(sum, "-") != 0)
        print->build_id = sum;
    return true;
}

static bool parse_json(const char *line, struct fingerprint *print) {
    const char *version = json_member(line, "version"), *path = json_member(line, "path");
    *print = (struct fingerprint){.version = version ? version : "none",
                                  .build_id = json_member(line, "build_id"),
                                  .sha256 = json_member(line, "sha256"),
                                  .path = path ? path : "-",
                                  .host = json_member(line, "host")};
    return print->host && (!version || print->build_id || print->sha256);
}

/* What launchers put in front: "3: " (srun -l), "node1: " (pdsh), "[1,0]<stdout>:" (mpirun --tag-output). */
static bool parse_line(const char *line, struct fingerprint *print) {
    const char *brace = strchr(line, '{');
    if (brace && parse_json(brace, print))
        return true;
    for (const char *at = line; *at; at++)
        if ((at == line || strchr(" :>]\t|", at[-1])) && parse_text(at, print))
            return true;
    return false;
}

static int read_lines(FILE *file, const char *name, struct groups *groups) {
    static char line[MOST_LINE];
    int status = EXIT_FINE;
    while (fgets(line, sizeof line, file)) {
        struct fingerprint print;
        bool whole = strchr(line, '\n') || feof(file);
        for (int c = whole ? '\n' : 0; c != '\n' && c != EOF;)
            c = getc(file);
        line[strcspn(line, "\r\n")] = '\0';
        if (!*line)
            continue;
        if (whole && parse_line(line, &print)) {
            take(groups, &print);
        } else {
            complain("%s: not a line of fingerprint: \"%s\"", name, start_of(200, line));
            status = EXIT_USAGE;
        }
    }
    return status;
}

/* ---- output ---- */

static int by_hosts(const void *a, const void *b) {
    const struct group *first = a, *second = b;
    return first->hosts.count != second->hosts.count ? (first->hosts.count < second->hosts.count ? 1 : -1)
                                                     : strcmp(first->print.version, second->print.version);
}

static int by_name(const void *a, const void *b) {
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

static void show(const struct group *group, enum tone tone) {
    record_begin();
    line_add(tone, "%5u host%-3s", group->hosts.count, group->hosts.count == 1 ? "" : "s");
    if (strcmp(group->print.version, "none") == 0)
        line_add(PLAIN, "no NCCL that can be used");
    else
        line_add(PLAIN, "NCCL %s  %.16s  %s%s", group->print.version, identity(&group->print), group->print.path,
                 group->paths_differ ? " (elsewhere on some)" : "");
    line_end(0, 13);
    for (unsigned i = 0; i < group->hosts.count; i++)
        line_add(PLAIN, "%s%s", i ? " " : "", group->hosts.list[i]);
    line_end(13, 13);
    record_end();
}

static void show_result(unsigned count) {
    if (count == 1) {
        line_add(GOOD, "all hosts have the same NCCL");
    } else {
        line_add(BAD, "the hosts differ");
        line_add(PLAIN,
                 ": %u different NCCLs. Ranks with different NCCLs fail or hang at the first collective. Fix: give all "
                 "hosts the NCCL of the first line, or choose one file that all can read: --use /shared/libnccl.so.2",
                 count);
    }
    line_end(0, 0);
}

static void show_json(const struct groups *groups) {
    struct json *object = json_object(), *list = json_list();
    for (unsigned i = 0; i < groups->count; i++) {
        const struct fingerprint *print = &groups->list[i].print;
        struct json *group = json_object();
        bool none = strcmp(print->version, "none") == 0;
        json_add_text(group, "version", none ? NULL : print->version);
        json_add_text(group, "build_id", print->build_id);
        json_add_text(group, "sha256", print->sha256);
        json_add_text(group, "path", none ? NULL : print->path);
        json_add_bool(group, "paths_differ", groups->list[i].paths_differ);
        json_add_names(group, "hosts", &groups->list[i].hosts);
        json_add(list, NULL, group);
    }
    json_add_bool(object, "same", groups->count == 1);
    json_add(object, "groups", list);
    json_print(object);
}

static int read_all(const struct request *request, struct groups *groups) {
    int status = EXIT_FINE;
    if (!request->rest_count)
        status = read_lines(stdin, "standard input", groups);
    for (int i = 0; i < request->rest_count; i++) {
        FILE *file = fopen(request->rest[i], "re");
        if (!file) {
            complain("%s cannot be read", request->rest[i]);
            return EXIT_USAGE;
        }
        int bad = read_lines(file, request->rest[i], groups);
        status = bad ? bad : status;
        fclose(file);
    }
    return status;
}

int fingerprints_merge(const struct request *request) {
    struct groups groups = {NULL, 0};
    int status = read_all(request, &groups);
    if (!groups.count) {
        complain("no line to compare; as in: srun nccl-redirect fingerprint | nccl-redirect fingerprint --merge");
        return EXIT_USAGE;
    }
    qsort(groups.list, groups.count, sizeof *groups.list, by_hosts);
    for (unsigned i = 0; i < groups.count; i++)
        qsort(groups.list[i].hosts.list, groups.list[i].hosts.count, sizeof *groups.list[i].hosts.list, by_name);
    if (request->json) {
        show_json(&groups);
    } else {
        for (unsigned i = 0; i < groups.count; i++)
            show(&groups.list[i], groups.count == 1 ? GOOD : i == 0 ? PLAIN : BAD);
        show_result(groups.count);
    }
    return groups.count > 1 ? EXIT_FINDING : status;
}
