/*
 * Where the dynamic loader looks for a library by its bare name (ld.so(8)): LD_LIBRARY_PATH, /etc/ld.so.cache, the
 * default folders. It also takes relative folders of LD_LIBRARY_PATH; here they are left out, since nothing is opened
 * from the current folder.
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
    char *found;
};

static bool look_in(void *arg, const char *origin, const char *folder) {
    struct lookup *lookup = arg;
    (void)origin;
    char *path = ncr_path("%s/%s", folder, lookup->name);
    if (path && ncr_file_exists(path)) {
        lookup->found = path;
        return true;
    }
    free(path);
    return false;
}

static bool take_cached(void *arg, const char *origin, const char *path) {
    struct lookup *lookup = arg;
    (void)origin;
    lookup->found = *path == '/' && ncr_file_exists(path) ? strdup(path) : NULL;
    return lookup->found != NULL;
}

/** The absolute path of the first file that the loader finds for a bare name, as a fresh string, or NULL. */
char *ncr_ld_find(const char *name) {
    struct lookup lookup = {name, NULL};
    if (!ncr_split_absolute(ncr_environment("LD_LIBRARY_PATH"), "LD_LIBRARY_PATH", look_in, &lookup) &&
        !ncr_ldcache(name, take_cached, &lookup))
        ncr_split_absolute(DEFAULT_FOLDERS, "the default folders", look_in, &lookup);
    return lookup.found;
}
