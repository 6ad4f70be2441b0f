/* nccl-redirect fingerprint: one line per host, and the comparison of many. */
#include "cli.h"

#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static const char *host_name(void) {
    static struct utsname host;
    return uname(&host) == 0 ? host.nodename : "?";
}

static int print_line(const struct request *request, const char *path, int version) {
    char sum[SHA256_DIGEST_STRING_LENGTH] = "";
    if (path && !SHA256File(path, sum)) {
        complain("%s cannot be read: it has no fingerprint", path);
        return EXIT_FINDING;
    }
    const char *number = path && version ? version_text(version) : path ? "?" : "none";
    if (request->json) {
        struct json *object = json_object();
        json_add_text(object, "version", path ? number : NULL);
        json_add_text(object, "sha256", path ? sum : NULL);
        json_add_text(object, "path", path);
        json_add_text(object, "host", host_name());
        json_print(object);
    } else {
        line_print_whole("%s %s %s %s", number, path ? sum : "-", path ? path : "-", host_name());
    }
    return EXIT_FINE;
}

static int print_own(const struct request *request) {
    struct ncr_config config;
    struct decision decision;
    apply_choice(request);
    ncr_config_read(&config);
    decide(&decision, &config, NULL);
    const struct considered *chosen = decision.chosen;
    int status = print_line(request, chosen ? chosen->real_path : NULL, chosen ? chosen->version : 0);
    if (!chosen)
        complain("%s", decision_failure(&decision));
    return chosen ? status : decision_status(&decision);
}

/* ---- many hosts ---- */

struct group {
    const char *version, *sum, *path;
    bool paths_differ;
    struct names hosts;
};

struct groups {
    struct group *list;
    unsigned count;
};

/* "version sha path host"; a path may hold spaces, so the host is the last word. */
static bool take_line(struct groups *groups, char *line) {
    line[strcspn(line, "\r\n")] = '\0';
    char *sum = strchr(line, ' '), *path = sum ? strchr(sum + 1, ' ') : NULL,
         *host = path ? strrchr(path + 1, ' ') : NULL;
    if (!host)
        return false;
    *sum++ = *path++ = *host++ = '\0';
    struct group *group = NULL;
    for (unsigned i = 0; i < groups->count && !group; i++)
        if (strcmp(groups->list[i].version, line) == 0 && strcmp(groups->list[i].sum, sum) == 0)
            group = &groups->list[i];
    if (!group) {
        groups->list = list_grow(groups->list, groups->count, sizeof *groups->list);
        group = &groups->list[groups->count++];
        *group = (struct group){
            .version = formatted("%s", line), .sum = formatted("%s", sum), .path = formatted("%s", path)};
    }
    group->paths_differ |= strcmp(group->path, path) != 0;
    if (!names_have(&group->hosts, host))
        names_add(&group->hosts, formatted("%s", host));
    return true;
}

static int read_lines(FILE *file, const char *name, struct groups *groups) {
    char *line = NULL;
    size_t room = 0;
    int status = EXIT_FINE;
    while (getline(&line, &room, file) > 0)
        if (*line != '\n' && !take_line(groups, line)) {
            complain("%s: not a line of fingerprint: \"%s\"", name, line);
            status = EXIT_USAGE;
        }
    return status;
}

static int by_hosts(const void *a, const void *b) {
    const struct group *first = a, *second = b;
    return first->hosts.count != second->hosts.count ? (first->hosts.count < second->hosts.count ? 1 : -1)
                                                     : strcmp(first->version, second->version);
}

static int by_name(const void *a, const void *b) {
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

static void show(const struct group *group, enum tone tone) {
    struct ncr_text hosts = {0};
    qsort(group->hosts.list, group->hosts.count, sizeof *group->hosts.list, by_name);
    for (unsigned i = 0; i < group->hosts.count; i++)
        ncr_text_add(&hosts, "%s%s", i ? " " : "", group->hosts.list[i]);
    bool none = strcmp(group->version, "none") == 0;
    record_begin();
    line_add(tone, "%5u host%-3s", group->hosts.count, group->hosts.count == 1 ? "" : "s");
    if (none)
        line_add(PLAIN, "no NCCL that can be used");
    else
        line_add(PLAIN, "NCCL %s  %.16s  %s%s", group->version, group->sum, group->path,
                 group->paths_differ ? " (elsewhere on some)" : "");
    line_end(0, 13);
    line_print(13, "%s", ncr_text_get(&hosts));
    record_end();
}

static void show_json(const struct groups *groups) {
    struct json *object = json_object(), *list = json_list();
    for (unsigned i = 0; i < groups->count; i++) {
        struct json *group = json_object();
        bool none = strcmp(groups->list[i].version, "none") == 0;
        json_add_text(group, "version", none ? NULL : groups->list[i].version);
        json_add_text(group, "sha256", none ? NULL : groups->list[i].sum);
        json_add_text(group, "path", none ? NULL : groups->list[i].path);
        json_add_bool(group, "paths_differ", groups->list[i].paths_differ);
        json_add_names(group, "hosts", &groups->list[i].hosts);
        json_add(list, NULL, group);
    }
    json_add_bool(object, "same", groups->count == 1);
    json_add(object, "groups", list);
    json_print(object);
}

static void show_difference(unsigned count) {
    line_add(BAD, "the hosts differ");
    line_add(PLAIN,
             ": %u different NCCLs. Ranks with different NCCLs fail or hang at the first collective. Fix: give all "
             "hosts the NCCL of the first line, or choose one file that all can read: --use /shared/libnccl.so.2",
             count);
    line_end(0, 0);
}

static void show_agreement(void) {
    line_add(GOOD, "all hosts have the same NCCL");
    line_end(0, 0);
}

static int merge(const struct request *request) {
    struct groups groups = {NULL, 0};
    int status = EXIT_FINE;
    if (!request->rest_count)
        status = read_lines(stdin, "standard input", &groups);
    for (int i = 0; i < request->rest_count; i++) {
        FILE *file = fopen(request->rest[i], "re");
        if (!file) {
            complain("%s cannot be read", request->rest[i]);
            return EXIT_USAGE;
        }
        int bad = read_lines(file, request->rest[i], &groups);
        status = bad ? bad : status;
        fclose(file);
    }
    if (!groups.count) {
        complain("no line to compare; as in: srun nccl-redirect fingerprint | nccl-redirect "
                 "fingerprint --merge");
        return EXIT_USAGE;
    }
    qsort(groups.list, groups.count, sizeof *groups.list, by_hosts);
    if (request->json)
        show_json(&groups);
    for (unsigned i = 0; !request->json && i < groups.count; i++)
        show(&groups.list[i], groups.count == 1 ? GOOD : i == 0 ? PLAIN : BAD);
    if (!request->json && groups.count > 1)
        show_difference(groups.count);
    else if (!request->json)
        show_agreement();
    return groups.count > 1 ? EXIT_FINDING : status;
}

int verb_fingerprint(struct request *request) {
    int status = EXIT_FINE;
    if (request->merge)
        return merge(request);
    if (!request->rest_count)
        return print_own(request);
    for (int i = 0; i < request->rest_count; i++) {
        char *path = realpath(request->rest[i], NULL);
        int one = print_line(request, path ? path : request->rest[i], nccl_version_of(path ? path : request->rest[i]));
        status = one ? one : status;
    }
    return status;
}
