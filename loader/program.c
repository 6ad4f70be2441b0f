/*
 * The NCCL that the program itself would have loaded: the file that it asks dlopen for, or what the run-time path
 * (RUNPATH) of its libraries leads to. Last in the order of auto, so that a program which brings its own NCCL still has
 * one.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

struct consumer {
    char *path;
    char *runpath;
};

struct consumers {
    const struct ncr_subject *subject;
    struct consumer list[16]; /* libraries linked with NCCL are few; more change nothing, since one match is enough */
    unsigned count;
};

/* Copies: the search must not run inside the loader's walk. */
static bool remember(void *arg, const struct ncr_object *object) {
    struct consumers *all = arg;
    if (object->needs_nccl && object->runpath && all->count < 16) {
        all->list[all->count].path = *object->path ? strdup(object->path) : ncr_subject_path(all->subject);
        all->list[all->count++].runpath = strdup(object->runpath);
    }
    return false;
}

struct place {
    struct ncr_search *search;
    const char *object_path;
};

static bool offer_in(void *arg, const char *origin, const char *folder) {
    struct place *place = arg;
    char *expanded = ncr_expand_origin(folder, place->object_path);
    bool stop = false;
    for (int i = 0; expanded && i < 2 && !stop; i++) {
        char *path =
            ncr_path("%s/%s", expanded, (i == 1) != place->search->rccl_first ? "librccl.so.1" : "libnccl.so.2");
        stop = path && ncr_offer(place->search, NCR_BY_PROGRAM, origin, path);
        free(path);
    }
    free(expanded);
    return stop;
}

/*
 * A relative path is meant from the current folder, also without us: the program itself says so at this very moment, no
 * variable that came from elsewhere.
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

/** Offer what the program itself points to. */
bool ncr_program(struct ncr_search *search) {
    if (offer_requested(search))
        return true;

    struct consumers all = {.subject = search->subject};
    ncr_subject_objects(search->subject, remember, &all);
    bool stop = false;
    for (unsigned i = 0; i < all.count; i++) {
        struct place place = {search, all.list[i].path};
        if (!stop && all.list[i].path && all.list[i].runpath)
            stop = ncr_split_path(all.list[i].runpath, "the program's RUNPATH", offer_in, &place);
        free(all.list[i].path);
        free(all.list[i].runpath);
    }
    return stop;
}
