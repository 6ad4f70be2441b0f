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
    results.list = grow(results.list, results.count, sizeof *results.list);
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
    reach_of_file(make("%s", path), false, &reached);
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
    if (stat(path, &status) != 0 && !strchr(name, '/'))
        path = find_on_path(name);
    if (!path || stat(path, &status) != 0) {
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
    char *argv[] = {(char *)make("%s%s", strchr(path, '/') ? "" : "./", path), NULL};
    command_resolve(&command, argv);
    if (!command.status && command.script && command.program) {
        reach_of_file(command.program, true, &reached);
        reached.how = make("(its interpreter) %s", reached.how);
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
    printf("%s%*s %s\n", tinted(tones[reached->reach], reach_word(reached->reach)),
           (int)(9 - strlen(reach_word(reached->reach))), "", reached->path);
    put(10, "%s", reached->how);
    if (!reached->needs.count)
        return;
    if (all) {
        struct ncr_text text = {0};
        for (unsigned i = 0; i < reached->needs.count; i++)
            ncr_text_add(&text, " %s", reached->needs.list[i]);
        put(10, "needs%s", ncr_text_get(&text));
    } else {
        put(10, "needs %u NCCL functions (--all names them)", reached->needs.count);
    }
}

static void show_library(const struct nccl *nccl, const struct names *needs, const struct names *lacks, bool all) {
    const char *name = make("NCCL %s, %s, ", nccl->version ? version_text(nccl->version) : "?", nccl->path);
    if (lacks->count)
        put(2, "%s%s", name, make("%s %s", tinted(DOUBTFUL, "lacks"), functions_text(lacks, all)));
    else
        put(2, "%s%s", name, make("%s all %u", tinted(GOOD, "has"), needs->count));
}

static cJSON *file_json(const struct reached *reached) {
    cJSON *object = cJSON_CreateObject();
    json_text(object, "path", reached->path);
    json_text(object, "reach", reach_word(reached->reach));
    json_text(object, "how", reached->how);
    json_text(object, "version_text", reached->version);
    cJSON_AddItemToObject(object, "needs", json_names(&reached->needs));
    cJSON_AddItemToObject(object, "via", json_names(&reached->via));
    return object;
}

static cJSON *library_json(const struct nccl *nccl, const struct names *lacks) {
    cJSON *object = cJSON_CreateObject();
    json_text(object, "path", nccl->path);
    json_text(object, "version", nccl->version ? version_text(nccl->version) : NULL);
    cJSON_AddItemToObject(object, "lacks", json_names(lacks));
    return object;
}

int verb_inspect(struct request *request) {
    struct ncr_config config;
    struct catalogue catalogue;
    cJSON *files = cJSON_CreateArray(), *libraries = cJSON_CreateArray();
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
            cJSON_AddItemToArray(files, file_json(&results.list[i]));
        else
            show_file(&results.list[i], request->all);
    }
    if (!results.count && !request->json)
        put(0, "nothing in it reaches NCCL (%u programs, libraries and Python files looked at)", results.looked);

    struct names needs = all_needs();
    if (needs.count && !request->json)
        put(0, "\nof the %u NCCL functions that are needed:", needs.count);
    for (unsigned i = 0; i < catalogue.count; i++) {
        const struct nccl *nccl = &catalogue.list[i];
        struct names lacks = lacking(&needs, nccl->path);
        if (nccl->refusal)
            continue;
        if (request->json)
            cJSON_AddItemToArray(libraries, library_json(nccl, &lacks));
        else if (needs.count)
            show_library(nccl, &needs, &lacks, request->all);
    }
    if (needs.count && !catalogue.usable && !request->json)
        put(2, "there is no NCCL here that could have them (nccl-redirect list)");
    if (request->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddItemToObject(object, "files", files);
        cJSON_AddNumberToObject(object, "looked", results.looked);
        cJSON_AddItemToObject(object, "libraries", libraries);
        put_json(object);
    }
    return status;
}
