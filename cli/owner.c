/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which package does a file belong to? Asked of the packages' own records: RECORD files of wheels (PEP 376), dpkg's
 * file lists, conda-meta. Records of packages with a name that suggests it are read first, and the others only if those
 * do not list the file.
 */
#include "cli.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RECORD (64u << 20)

/* A record that is cut off or damaged does not tell its version. */
static const char *version_or_unknown(const char *version) {
    return version && *version ? version : "?";
}

static void add(struct owners *owners, struct owner owner) {
    owners->list = list_grow(owners->list, owners->count, sizeof *owners->list);
    owners->list[owners->count++] = owner;
}

static bool telling(const char *name) {
    static const char *const words[] = {"nccl", "rccl", "torch", "cuda", "rocm", "cupy", "hpc"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(name, words[i]))
            return true;
    return false;
}

/* The rest of the line that starts with `start`, or NULL. */
static const char *line_behind(const char *text, const char *start) {
    size_t length = strlen(start);
    for (const char *at = text; (at = strstr(at, start)); at += length)
        if (at == text || at[-1] == '\n')
            return at + length;
    return NULL;
}

static bool has_suffix(const char *name, const char *suffix) {
    size_t length = strlen(name), end = strlen(suffix);
    return length > end && strcmp(name + length - end, suffix) == 0;
}

/* Call `read` for each entry of a folder with this suffix: likely names first; the others if nothing was found. */
typedef void read_record(const char *folder, const char *name, const char *file, uint64_t size, struct owners *owners);

static void each_record(const char *folder, const char *suffix, read_record *read, const char *file, uint64_t size,
                        struct owners *owners) {
    for (int pass = 0; pass < 2 && (pass == 0 || owners->count == 0); pass++) {
        DIR *records = opendir(folder);
        for (struct dirent *entry; records && (entry = readdir(records));)
            if (has_suffix(entry->d_name, suffix) && telling(entry->d_name) == (pass == 0))
                read(folder, entry->d_name, file, size, owners);
        if (records)
            closedir(records);
    }
}

/* name-version.dist-info; the line is PATH,HASH,SIZE. */
static void read_wheel(const char *folder, const char *name, const char *file, uint64_t size, struct owners *owners) {
    char *text = ncr_file_text(formatted("%s/%s/RECORD", folder, name), MOST_RECORD);
    const char *rest = text ? line_behind(text, formatted("%s,", file)) : NULL;
    if (rest) {
        const char *comma = memchr(rest, ',', strcspn(rest, "\n"));
        unsigned long long recorded = comma ? strtoull(comma + 1, NULL, 10) : 0;
        char *package = (char *)formatted("%.*s", (int)(strlen(name) - strlen(".dist-info")), name),
             *dash = strrchr(package, '-');
        if (dash)
            *dash++ = '\0';
        for (char *c = package; (c = strchr(c, '_'));)
            *c = '-';
        add(owners, (struct owner){"wheel", package, version_or_unknown(dash), recorded && recorded != size});
    }
    free(text);
}

static void find_wheels(const char *path, uint64_t size, struct owners *owners) {
    static const char *const sites[] = {"/site-packages/", "/dist-packages/"};
    for (int i = 0; i < 2; i++) {
        const char *site = strstr(path, sites[i]);
        if (site)
            each_record(formatted("%.*s", (int)(site - path + strlen(sites[i]) - 1), path), ".dist-info", read_wheel,
                        site + strlen(sites[i]), size, owners);
    }
}

static const char *dpkg_status; /* dpkg's database, read once */

static const char *debian_version(const char *package) {
    if (!dpkg_status)
        dpkg_status = ncr_file_text("/var/lib/dpkg/status", MOST_RECORD);
    const char *colon = strchr(package, ':');
    int length = colon ? (int)(colon - package) : (int)strlen(package);
    const char *paragraph =
        dpkg_status ? line_behind(dpkg_status, formatted("Package: %.*s\n", length, package)) : NULL;
    const char *end = paragraph ? strstr(paragraph, "\n\n") : NULL;
    const char *version = paragraph ? line_behind(paragraph, "Version: ") : NULL;
    bool of_package = version && (!end || version < end);
    return version_or_unknown(of_package ? formatted("%.*s", (int)strcspn(version, "\n"), version) : NULL);
}

static void read_debian(const char *folder, const char *name, const char *file, uint64_t size, struct owners *owners) {
    (void)size;
    char *text = ncr_file_text(formatted("%s/%s", folder, name), MOST_RECORD);
    /* Since /lib became a link to /usr/lib, a package may have recorded either. */
    const char *older = ncr_begins(file, "/usr/lib") ? file + 4 : file;
    if (text && (line_behind(text, formatted("%s\n", file)) || line_behind(text, formatted("%s\n", older)))) {
        const char *package = formatted("%.*s", (int)(strlen(name) - strlen(".list")), name);
        add(owners, (struct owner){"Debian package", package, debian_version(package), false});
    }
    free(text);
}

static void read_conda(const char *folder, const char *name, const char *file, uint64_t size, struct owners *owners) {
    (void)size;
    char *text = ncr_file_text(formatted("%s/%s", folder, name), MOST_RECORD);
    if (text && strstr(text, formatted("\"%s\"", file))) {
        const char *package = json_member(text, "name"), *version = json_member(text, "version");
        add(owners,
            (struct owner){"conda package", package && *package ? package : name, version_or_unknown(version), false});
    }
    free(text);
}

/* The prefix is the nearest folder above with conda-meta in it. */
static void find_conda(const char *path, uint64_t size, struct owners *owners) {
    char *prefix = ncr_parent(path, 1);
    for (; prefix && *prefix; prefix = ncr_parent(prefix, 1)) {
        const char *meta = formatted("%s/conda-meta", prefix);
        if (!ncr_file_exists(meta))
            continue;
        each_record(meta, ".json", read_conda, path + strlen(prefix) + 1, size, owners);
        return;
    }
}

/** Every package that claims the file. */
void owners_find(const char *path, const char *real_path, uint64_t size, struct owners *owners) {
    *owners = (struct owners){NULL, 0};
    find_wheels(path, size, owners);
    if (!owners->count && strcmp(path, real_path) != 0)
        find_wheels(real_path, size, owners);
    if (!owners->count)
        find_conda(real_path, size, owners);
    if (!owners->count && strcmp(path, real_path) != 0)
        find_conda(path, size, owners);
    if (!owners->count && (ncr_begins(real_path, "/usr/") || ncr_begins(real_path, "/opt/")))
        each_record("/var/lib/dpkg/info", ".list", read_debian, real_path, size, owners);
}

/** "nvidia-nccl-cu12 2.27.3 (wheel), …", or "no package". */
const char *owner_text(const struct owners *owners) {
    struct ncr_text text = {0};
    for (unsigned i = 0; i < owners->count; i++)
        ncr_text_add(&text, "%s%s %s (%s)", i ? ", " : "", owners->list[i].name, owners->list[i].version,
                     owners->list[i].kind);
    return owners->count ? ncr_text_get(&text) : "no package owns it";
}
