/*
 * nccl-redirect inspect: how programs, libraries and packages reach NCCL, and what the NCCLs of this machine lack for
 * them.
 */
#include "cli.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct results {
    struct reached *list;
    unsigned count, looked;
};

static struct results results; /* nftw passes no argument */

static void add(const struct reached *reached) {
    results.list = list_grow(results.list, results.count, sizeof *results.list);
    results.list[results.count++] = *reached;
}

static bool starts_elf(const char *path) {
    struct stat status;
    char magic[4] = "";
    int file = ncr_file_open(path, &status);
    bool yes = file >= 0 && ncr_file_read_at(file, magic, 4, 0) && memcmp(magic, "\177ELF", 4) == 0;
    if (file >= 0)
        close(file);
    return yes;
}

static int visit(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    size_t length = strlen(path);
    bool python = length > 3 && strcmp(path + length - 3, ".py") == 0;
    (void)walk;
    if (kind != FTW_F || !S_ISREG(status->st_mode) || (!python && !starts_elf(path)))
        return 0;
    struct reached reached;
    reach_of_file(formatted("%s", path), false, &reached);
    results.looked++;
    if (reached.reach != REACH_NONE)
        add(&reached);
    return 0;
}

/* A name without a slash that is no file here is one on PATH; a script stands for its interpreter too. */
static int inspect(const char *name) {
    struct stat status;
    struct command command;
    const char *path = name;
    if (!ncr_file_status(path, &status) && !strchr(name, '/'))
        path = find_on_path(name);
    if (!path || !ncr_file_status(path, &status)) {
        complain("%s: there is no such file, and no such command on PATH", name);
        return EXIT_USAGE;
    }
    if (S_ISDIR(status.st_mode)) {
        nftw(path, visit, 32, FTW_PHYS);
        return EXIT_FINE;
    }
    struct reached reached;
    results.looked++;
    reach_of_file(path, true, &reached);
    add(&reached);
    char *argv[] = {(char *)formatted("%s%s", strchr(path, '/') ? "" : "./", path), NULL};
    command_resolve(&command, argv);
    if (!command.status && command.script && command.program) {
        reach_of_file(command.program, true, &reached);
        reached.how = formatted("(its interpreter) %s", reached.how);
        add(&reached);
    }
    return EXIT_FINE;
}

/* ---- what the NCCLs lack ---- */

static struct names all_needs(void) {
    struct names needs = {NULL, 0};
    for (unsigned i = 0; i < results.count; i++)
        for (unsigned j = 0; j < results.list[i].needs.count; j++)
            if (!names_have(&needs, results.list[i].needs.list[j]))
                names_add(&needs, results.list[i].needs.list[j]);
    return needs;
}

/* ---- output ---- */

static void show_file(const struct reached *reached, bool all) {
    static const enum tone tones[] = {FAINT, GOOD, GOOD, GOOD, DOUBTFUL, BAD, PLAIN, PLAIN, PLAIN};
    record_begin();
    line_add(tones[reached->reach], "%-9s ", reach_word(reached->reach));
    line_add(PLAIN, "%s", reached->path);
    line_end(0, 10);
    line_print(10, "%s", reached->how);
    if (reached->needs.count && all) {
        line_add(PLAIN, "needs");
        for (unsigned i = 0; i < reached->needs.count; i++)
            line_add(PLAIN, " %s", reached->needs.list[i]);
        line_end(10, 10);
    } else if (reached->needs.count) {
        line_print(10, "needs %u NCCL functions (--all names them)", reached->needs.count);
    }
    record_end();
}

static void show_library(const struct nccl *nccl, const struct names *needs, const struct names *lacks, bool all) {
    line_add(PLAIN, "NCCL %s, %s, ", nccl->version ? version_text(nccl->version) : "?", nccl->path);
    line_add(lacks->count ? DOUBTFUL : GOOD, lacks->count ? "lacks" : "has");
    line_add(PLAIN, " %s", lacks->count ? functions_text(lacks, all) : formatted("all %u", needs->count));
    line_end(2, 2);
}

static struct json *file_json(const struct reached *reached) {
    struct json *object = json_object();
    json_add_text(object, "path", reached->path);
    json_add_text(object, "reach", reach_word(reached->reach));
    json_add_text(object, "how", reached->how);
    json_add_text(object, "version_text", reached->version);
    json_add_names(object, "needs", &reached->needs);
    json_add_names(object, "via", &reached->via);
    return object;
}

static struct json *library_json(const struct nccl *nccl, const struct names *lacks) {
    struct json *object = json_object();
    json_add_text(object, "path", nccl->path);
    json_add_text(object, "version", nccl->version ? version_text(nccl->version) : NULL);
    json_add_names(object, "lacks", lacks);
    return object;
}

int subcommand_inspect(struct request *request) {
    struct ncr_config config;
    struct catalogue catalogue;
    struct json *files = json_list(), *libraries = json_list();
    int status = EXIT_FINE;
    if (!request->rest_count) {
        complain("inspect: which file or folder? As in: nccl-redirect inspect ./all_reduce_perf");
        return EXIT_USAGE;
    }
    for (int i = 0; i < request->rest_count; i++)
        if (inspect(request->rest[i]))
            return EXIT_USAGE;
    ncr_config_read(&config);
    catalogue_read(&catalogue, &config, NULL);
    for (unsigned i = 0; i < results.count; i++) {
        if (results.list[i].reach == REACH_STATIC)
            status = EXIT_FINDING;
        if (request->json)
            json_add(files, NULL, file_json(&results.list[i]));
        else
            show_file(&results.list[i], request->all);
    }
    if (!results.count && !request->json)
        line_print(0, "nothing in it reaches NCCL (%u programs, libraries and Python files looked at)", results.looked);

    struct names needs = all_needs();
    if (needs.count && !request->json)
        gap_print();
    if (needs.count && !request->json)
        line_print(0, "of the %u NCCL functions that are needed:", needs.count);
    for (unsigned i = 0; i < catalogue.count; i++) {
        const struct nccl *nccl = &catalogue.list[i];
        struct names lacks = lacking(&needs, nccl->path);
        if (nccl->refusal)
            continue;
        if (request->json)
            json_add(libraries, NULL, library_json(nccl, &lacks));
        else if (needs.count)
            show_library(nccl, &needs, &lacks, request->all);
    }
    if (needs.count && !catalogue.usable && !request->json)
        line_print(2, "there is no NCCL here that could have them (nccl-redirect list)");
    if (request->json) {
        struct json *object = json_object();
        json_add(object, "files", files);
        json_add_number(object, "looked", results.looked);
        json_add(object, "libraries", libraries);
        json_print(object);
    }
    return status;
}
