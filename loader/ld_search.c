/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the dynamic loader finds a library by its bare name (ld.so(8), glibc's elf/dl-load.c): DT_RPATH of the object
 * that needs it and of those that loaded it, LD_LIBRARY_PATH, DT_RUNPATH of that object, /etc/ld.so.cache, the default
 * folders. It also takes relative folders; here they are left out, since nothing is opened from the current folder.
 * Builds for special CPU levels (glibc-hwcaps) are left out too: there are no NCCLs of that kind.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#endif

/* Debian's and Ubuntu's loader has the first two, Red Hat's and SUSE's the next two, the others the last. */
#define DEFAULT_FOLDERS "/lib/" MULTIARCH ":/usr/lib/" MULTIARCH ":/lib64:/usr/lib64:/lib:/usr/lib"

struct lookup {
    const char *name;
    const char *object_path; /* for $ORIGIN */
    struct ncr_ld_hit *hit;
    enum ncr_ld_part part;
};

/* RPATHs are full of "$ORIGIN/../..", which would make messages hard to read. Owns `path`. */
static char *without_dots(char *path) {
    char *folder = strstr(path, "/../") ? ncr_parent(path, 1) : NULL, *real = folder ? ncr_file_real(folder) : NULL;
    char *plain = real ? ncr_path("%s/%s", real, ncr_basename(path)) : NULL;
    if (plain)
        free(path);
    free(real);
    free(folder);
    return plain ? plain : path;
}

static bool look_in(void *arg, const char *origin, const char *folder) {
    struct lookup *lookup = arg;
    char *expanded = strchr(folder, '$') ? ncr_expand_tokens(folder, lookup->object_path) : ncr_copy(folder);
    char *path = expanded && *expanded == '/' ? ncr_path("%s/%s", expanded, lookup->name) : NULL;
    bool found = path && ncr_file_exists(path);
    free(expanded);
    if (found)
        *lookup->hit = (struct ncr_ld_hit){without_dots(path), origin, lookup->part};
    else
        free(path);
    return found;
}

static bool take_cached(void *arg, const char *origin, const char *path) {
    struct lookup *lookup = arg;
    bool found = *path == '/' && ncr_file_exists(path);
    if (found)
        *lookup->hit = (struct ncr_ld_hit){ncr_copy(path), origin, NCR_LD_CACHE};
    return found;
}

static bool look_in_list(struct lookup *lookup, const char *list, const char *object_path, enum ncr_ld_part part) {
    static const char *const origins[] = {"",        "RPATH", "LD_LIBRARY_PATH",
                                          "RUNPATH", "",      "the loader's default folders"};
    lookup->object_path = object_path;
    lookup->part = part;
    return part == NCR_LD_LIBRARY_PATH ? ncr_split_library_path(list, origins[part], look_in, lookup)
                                       : ncr_split_path(list, origins[part], look_in, lookup);
}

static bool look_in_rpaths(struct lookup *lookup, const struct ncr_asker *asker) {
    if (asker->runpath) /* the loader then ignores RPATHs, those of its loaders too */
        return false;
    for (; asker; asker = asker->loader)
        if (look_in_list(lookup, asker->rpath, asker->path, NCR_LD_RPATH))
            return true;
    return false;
}

/**
 * The first file that the loader finds for a bare name that `asker` needs, in the given parts of its search
 * (1 << NCR_LD_… each). True with `hit`, whose path is absolute and for free().
 */
bool ncr_ld_search(const char *name, const struct ncr_asker *asker, unsigned parts, struct ncr_ld_hit *hit) {
    static const struct ncr_asker nobody;
    struct lookup lookup = {.name = name, .hit = hit};
    const struct ncr_asker *program = asker = asker ? asker : &nobody;
    while (program->loader)
        program = program->loader;
    *hit = (struct ncr_ld_hit){NULL, NULL, NCR_LD_NOWHERE};
    return (parts & 1 << NCR_LD_RPATH && look_in_rpaths(&lookup, asker)) ||
           (parts & 1 << NCR_LD_LIBRARY_PATH &&
            look_in_list(&lookup, ncr_environment("LD_LIBRARY_PATH"), program->path, NCR_LD_LIBRARY_PATH)) ||
           (parts & 1 << NCR_LD_RUNPATH && look_in_list(&lookup, asker->runpath, asker->path, NCR_LD_RUNPATH)) ||
           (parts & 1 << NCR_LD_CACHE && ncr_ldcache(name, take_cached, &lookup)) ||
           (parts & 1 << NCR_LD_DEFAULT && look_in_list(&lookup, DEFAULT_FOLDERS, NULL, NCR_LD_DEFAULT));
}
