/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Python script imports, and where its Python would find that: read from the text, nothing is run. Imports that are
 * made by a function, and finders of other kinds (.pth files with code, zip files), are not seen.
 */
#include "cli.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SCRIPT ((size_t)4 << 20)

static bool is_name(char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *add_name(struct names *names, const char *at) {
    size_t length = 0;
    while (is_name(at[length]))
        length++;
    const char *name = formatted("%.*s", (int)length, at);
    if (length && !names_have(names, name))
        names_add(names, name);
    return at + length;
}

/* "import a.b as c, d": the top of each. */
static void take_import(struct names *names, const char *at) {
    for (;;) {
        at = add_name(names, at + strspn(at, " \t"));
        at += strcspn(at, ",;#\n");
        if (*at != ',')
            return;
        at++;
    }
}

/** The top-level names that a script imports. */
struct names imports_of(const char *script) {
    struct names names = {NULL, 0};
    char *text = ncr_file_text(script, MOST_SCRIPT);
    for (const char *line = text; line && *line; line = next_line(line)) {
        const char *at = line + strspn(line, " \t");
        if (ncr_begins(at, "import "))
            take_import(&names, at + 7);
        else if (ncr_begins(at, "from ") && at[5 + strspn(at + 5, " ")] != '.')
            add_name(&names, at + 5 + strspn(at + 5, " "));
    }
    free(text);
    return names;
}

struct lookup {
    const char *name, *found;
};

/* NAME.cpython-311-x86_64-linux-gnu.so and the like. */
static const char *extension_in(const char *folder, const char *name) {
    const char *found = NULL;
    DIR *entries = opendir(folder);
    size_t length = strlen(name);
    for (struct dirent *entry; entries && !found && (entry = readdir(entries));) {
        size_t end = strlen(entry->d_name);
        if (strncmp(entry->d_name, name, length) == 0 && entry->d_name[length] == '.' && end > 3 &&
            strcmp(entry->d_name + end - 3, ".so") == 0)
            found = formatted("%s/%s", folder, entry->d_name);
    }
    if (entries)
        closedir(entries);
    return found;
}

/* In the order of Python: a package, an extension, a module. */
static bool look_in(void *arg, const char *origin, const char *folder) {
    struct lookup *lookup = arg;
    struct stat status;
    (void)origin;
    const char *package = formatted("%s/%s", folder, lookup->name), *module = formatted("%s.py", package);
    if (ncr_file_status(package, &status) && S_ISDIR(status.st_mode))
        lookup->found = package;
    else if (!(lookup->found = extension_in(folder, lookup->name)) && ncr_file_status(module, &status))
        lookup->found = module;
    return lookup->found != NULL;
}

/** Where the Python of this environment finds a module: beside the script (`folder`, or NULL), or in its packages. */
const char *module_path(const char *name, const char *folder) {
    static const struct ncr_subject any;
    struct lookup lookup = {name, NULL};
    if (!*name || name[strspn(name, "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")])
        return NULL;
    if (!folder || !look_in(&lookup, "", folder))
        ncr_python_folders(&any, look_in, &lookup);
    return lookup.found;
}

/* ---- distributions: nvidia-nccl-cu12 ---- */

struct distribution {
    const char *name;
    struct names libraries;
    bool found;
};

/* "nvidia_nccl_cu12-2.21.5.dist-info" is of nvidia-nccl-cu12; dashes, dots and underscores are alike there. */
static bool is_of(const char *entry, const char *name) {
    for (; *name; name++, entry++)
        if (*entry != *name && !(strchr("-_.", *name) && *entry && strchr("-_.", *entry)))
            return false;
    const char *end = strstr(entry, ".dist-info");
    return *entry == '-' && end && !end[10];
}

static void take_record(struct distribution *distribution, const char *folder, const char *entry) {
    char *text = ncr_file_text(formatted("%s/%s/RECORD", folder, entry), MOST_SCRIPT);
    distribution->found = text != NULL;
    for (const char *line = text; line && *line; line = next_line(line)) {
        const char *file = formatted("%.*s", (int)strcspn(line, ",\r\n"), line), *so = strstr(file, ".so");
        if (so && (!so[3] || so[3] == '.'))
            names_add(&distribution->libraries, formatted("%s/%s", folder, file));
    }
    free(text);
}

static bool look_for_distribution(void *arg, const char *origin, const char *folder) {
    struct distribution *distribution = arg;
    DIR *entries = opendir(folder);
    (void)origin;
    for (struct dirent *entry; entries && !distribution->found && (entry = readdir(entries));)
        if (is_of(entry->d_name, distribution->name))
            take_record(distribution, folder, entry->d_name);
    if (entries)
        closedir(entries);
    return distribution->found;
}

/** The libraries of an installed distribution; false if no distribution has that name. */
bool distribution_libraries(const char *name, struct names *libraries) {
    static const struct ncr_subject any;
    struct distribution distribution = {name, {NULL, 0}, false};
    ncr_python_folders(&any, look_for_distribution, &distribution);
    *libraries = distribution.libraries;
    return distribution.found;
}
