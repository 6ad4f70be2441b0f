/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl-redirect inspect: how programs, libraries and packages reach NCCL, and what the NCCLs of this machine lack for
 * them.
 */
#include "cli.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct results {
    struct reached *list;
    unsigned count, looked, unreadable;
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
    if (kind == FTW_DNR || (kind == FTW_F && S_ISREG(status->st_mode) && access(path, R_OK) != 0))
        results.unreadable++;
    else if (kind == FTW_F && S_ISREG(status->st_mode) && (python || starts_elf(path))) {
        struct reached reached;
        reach_of_file(formatted("%s", path), false, &reached);
        results.looked++;
        if (reached.reach != REACH_NONE)
            add(&reached);
    }
    return 0;
}

static int inspect_folder(const char *path) {
    char *real = realpath(path, NULL); /* a link that was named is followed, one inside is not */
    unsigned before = results.unreadable;
    nftw(real ? real : path, visit, 32, FTW_PHYS);
    free(real);
    if (results.unreadable > before)
        complain("%s: %u files or folders in it cannot be read", path, results.unreadable - before);
    return results.unreadable > before ? EXIT_FINDING : EXIT_FINE;
}

static bool is_python_script(const char *path, const struct command *command) {
    size_t length = strlen(path);
    return (length > 3 && strcmp(path + length - 3, ".py") == 0) ||
           (!command->status && command->script && command->program && is_python(command->program));
}

/* What a script imports, and what the modules beside it import; each is looked at once. */
static void follow_imports(const char *script, struct names *seen, struct names *leading) {
    char *folder = ncr_parent(script, 1);
    struct names names = imports_of(script);
    for (unsigned i = 0; i < names.count; i++) {
        const char *path = module_path(names.list[i], folder);
        unsigned before = results.count;
        if (!path || names_have(seen, path))
            continue;
        names_add(seen, path);
        size_t length = strlen(path);
        bool module = strcmp(path + length - 3, ".py") == 0;
        bool beside = folder && ncr_begins(path, folder) && !strchr(path + strlen(folder) + 1, '/');
        if (module || !starts_elf(path)) {
            if (module && beside)
                follow_imports(path, seen, leading);
            nftw(path, visit, 32, FTW_PHYS);
        } else {
            visit(path, &(struct stat){.st_mode = S_IFREG}, FTW_F, NULL);
        }
        if (results.count > before)
            names_add(leading, names.list[i]);
    }
}

static void inspect_imports(const char *script) {
    struct names seen = {NULL, 0}, leading = {NULL, 0};
    struct ncr_text list = {0};
    char *real = realpath(script, NULL);
    unsigned place = results.count - 1; /* of the script itself; the list may move */
    follow_imports(real ? real : script, &seen, &leading);
    for (unsigned i = 0; i < leading.count; i++)
        ncr_text_add(&list, "%s%s", i ? ", " : "", leading.list[i]);
    struct reached *own = &results.list[place];
    own->how = leading.count ? formatted("imports %s, through which it reaches NCCL (below)", ncr_text_get(&list))
               : seen.count  ? formatted("%s; nothing that it imports reaches NCCL", own->how)
                             : own->how;
    if (leading.count && own->reach == REACH_NONE)
        own->reach = REACH_SCRIPT;
    free(real);
}

static int inspect_file(const char *path, const struct stat *status) {
    struct command command;
    struct reached reached;
    if (!S_ISREG(status->st_mode) || access(path, R_OK) != 0) {
        complain("%s cannot be read: %s", path,
                 S_ISREG(status->st_mode) ? strerror(errno) : "it is not a regular file");
        return EXIT_FINDING;
    }
    results.looked++;
    reach_of_file(path, true, &reached);
    add(&reached);
    char *argv[] = {(char *)formatted("%s%s", strchr(path, '/') ? "" : "./", path), NULL};
    command_resolve(&command, argv);
    if (is_python_script(path, &command))
        inspect_imports(path);
    if (!command.status && command.script && command.program) {
        reach_of_file(command.program, true, &reached);
        reached.how = formatted("(its interpreter) %s", reached.how);
        add(&reached);
    }
    return EXIT_FINE;
}

/* Which file does a name mean? One here, a command on PATH, a module of Python, a distribution. */
static int inspect(const char *name) {
    struct stat status;
    struct names libraries;
    const char *path = name;
    bool plain = !strchr(name, '/');
    if (!ncr_file_status(path, &status))
        path = plain ? find_on_path(name) : NULL;
    if (!path && plain)
        path = module_path(name, NULL);
    if (path && ncr_file_status(path, &status))
        return S_ISDIR(status.st_mode) ? inspect_folder(path) : inspect_file(path, &status);
    if (plain && distribution_libraries(name, &libraries)) {
        for (unsigned i = 0; i < libraries.count; i++)
            visit(libraries.list[i], &(struct stat){.st_mode = S_IFREG}, FTW_F, NULL);
        return EXIT_FINE;
    }
    complain("%s: no such file%s", name, plain ? ", no such command on PATH, and no such package of Python" : "");
    return EXIT_USAGE;
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
        complain("inspect: which file, folder or package? As in: nccl-redirect inspect ./all_reduce_perf");
        return EXIT_USAGE;
    }
    for (int i = 0; i < request->rest_count; i++) {
        int one = inspect(request->rest[i]);
        status = one > status ? one : status;
    }
    if (status == EXIT_USAGE && !results.count)
        return status;
    ncr_config_read(&config);
    catalogue_read(&catalogue, &config, NULL);
    for (unsigned i = 0; i < results.count; i++) {
        if (results.list[i].reach == REACH_STATIC && status == EXIT_FINE)
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
