/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NCCL that the program would load by itself: the file that it passes to dlopen, or what the dynamic loader would
 * find for the object that is linked with one or opens one by its bare name.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/*
 * A relative path is relative to the current folder, as without the shim: the program itself passes it at this moment,
 * it does not come from a variable that others set.
 */
static bool offer_requested(struct ncr_search *search) {
    const char *requested = search->requested;
    if (!requested || !strchr(requested, '/'))
        return false;
    char *path = ncr_file_absolute(requested, ".");
    bool stop = path && ncr_offer(search, NCR_BY_PROGRAM, "the file that the program opens", path);
    free(path);
    return stop;
}

/* Offer and forget what the loader has found. */
static bool offer_hit(struct ncr_search *search, struct ncr_ld_hit *hit, const char *whose) {
    char *origin = ncr_path("%s%s", whose, hit->origin);
    bool stop = ncr_offer(search, NCR_BY_PROGRAM, origin ? origin : hit->origin, hit->path);
    free(origin);
    free(hit->path);
    return stop;
}

enum {
    RPATH = 1 << NCR_LD_RPATH,
    LIBRARY_PATH = 1 << NCR_LD_LIBRARY_PATH,
    RUNPATH = 1 << NCR_LD_RUNPATH,
    OF_ALL = 1 << NCR_LD_CACHE | 1 << NCR_LD_DEFAULT,
};

static bool is_in_bundle(struct ncr_search *search, const char *path) {
    char *folder = ncr_parent(path, 1);
    bool yes = folder && ncr_is_bundle(search, folder);
    free(folder);
    return yes;
}

/*
 * Under auto, what the loader finds in places that all programs share counts as the system's: its candidates are
 * visited here, where the loader would come to them, and those of the object's own RUNPATH after them.
 */
static bool offer_under_auto(struct ncr_search *search, const char *name, const struct ncr_asker *asker) {
    static const unsigned parts[] = {RPATH, LIBRARY_PATH, RUNPATH, OF_ALL};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct ncr_ld_hit hit;
        bool own = parts[i] == RPATH || parts[i] == RUNPATH;
        if ((!own && search->system_done) || !ncr_ld_search(name, asker, parts[i], &hit))
            continue;
        own |= parts[i] == LIBRARY_PATH && is_in_bundle(search, hit.path);
        if (!own)
            free(hit.path);
        if (own ? offer_hit(search, &hit, "the program's ") : ncr_system(search))
            return true;
    }
    return false;
}

/*
 * Does an object in the chain have its own search path, or may the program's bundle be in LD_LIBRARY_PATH? If not, the
 * system's method finds all that the loader does.
 */
static bool has_own_path(const struct ncr_asker *asker) {
    const char *shared = ncr_environment("LD_LIBRARY_PATH");
    bool own = asker->runpath;
    for (const struct ncr_asker *at = asker; at && !own; at = at->loader) {
        char *folder = !at->loader && at->path && shared ? ncr_parent(at->path, 1) : NULL; /* the program's */
        own = at->rpath || (folder && strstr(shared, folder));
        free(folder);
    }
    return own || ncr_environment("LD_LIBRARY_PATH_ORIG") || ncr_environment("APPDIR") ||
           (shared && strstr(shared, "/_MEI"));
}

static bool offer_for(struct ncr_search *search, const char *name, const struct ncr_object *object) {
    struct ncr_asking asking;
    struct ncr_ld_hit hit;
    bool stop = false;
    if (strchr(name, '/')) /* linked by a path; a relative one is refused as such */
        return ncr_offer(search, NCR_BY_PROGRAM, "the path that the program is linked to", name);
    ncr_asking_begin(&asking, search, object);
    if (search->config->choice != NCR_CHOOSE_AUTO)
        stop = ncr_ld_search(name, &asking.chain[0], NCR_LD_ALL, &hit) &&
               offer_hit(search, &hit, "the program's search: ");
    else if (has_own_path(&asking.chain[0]))
        stop = offer_under_auto(search, name, &asking.chain[0]);
    return stop;
}

/**
 * The file that the program, or a library of it, is linked to by its own RPATH or RUNPATH, as a fresh string; NULL if there
 * is none. torch's libraries are torch's.
 */
char *ncr_program_own(struct ncr_search *search) {
    for (unsigned i = 0; i < search->object_count; i++) {
        const struct ncr_object *object = &search->objects[i];
        struct ncr_asking asking;
        struct ncr_ld_hit hit;
        if (!object->needs_nccl || strchr(object->needs_nccl, '/') ||
            ncr_begins(ncr_basename(object->path), "libtorch"))
            continue;
        ncr_asking_begin(&asking, search, object);
        if (!has_own_path(&asking.chain[0]) ||
            !ncr_ld_search(object->needs_nccl, &asking.chain[0], RPATH | LIBRARY_PATH | RUNPATH, &hit))
            continue;
        if (hit.part != NCR_LD_LIBRARY_PATH)
            return hit.path;
        free(hit.path);
        return NULL;
    }
    return NULL;
}

/** Offer the NCCL that the program would load by itself. */
bool ncr_program(struct ncr_search *search) {
    const char *requested = search->requested;
    if (offer_requested(search))
        return true;
    /* In the loader's order: the first object that is linked with an NCCL is the one that it searches for. */
    for (unsigned i = 0; i < search->object_count; i++)
        if (search->objects[i].needs_nccl && offer_for(search, search->objects[i].needs_nccl, &search->objects[i]))
            return true;
    if (requested && !strchr(requested, '/'))
        return offer_for(search, requested, ncr_search_object_at(search, search->caller));
    return false;
}
