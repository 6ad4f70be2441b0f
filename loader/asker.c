/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who needs an NCCL: the objects of the process, what loaded each of them (for DT_RPATH), and for which vendor's GPUs
 * they are built.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/*
 * What a search looks at: the program, what needs an NCCL, torch's libraries, the object that asks now, and what loaded
 * these. Copied, since a search reads files, and other threads may load and unload libraries meanwhile.
 */
struct choosing {
    struct ncr_search *search;
    const struct ncr_object *all; /* as mapped, the program first */
    unsigned count;
};

static bool is_of_torch(const char *path) {
    static const char *const names[] = {"libtorch_cuda.so", "libtorch_hip.so", "libtorch_global_deps.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(ncr_basename(path), names[i]) == 0)
            return true;
    return false;
}

static bool contains(const struct ncr_object *object, const void *address) {
    return address && (uintptr_t)address >= object->start && (uintptr_t)address < object->end;
}

/*
 * The loader does not tell what has loaded an object. It is taken to be the first one that is linked with it; an object
 * that none is linked with was opened by a call, and only the program is assumed to have loaded that.
 */
static unsigned loader_of(const struct choosing *choosing, unsigned object) {
    const struct ncr_object *all = choosing->all;
    const char *name = all[object].soname ? all[object].soname : ncr_basename(all[object].path);
    for (unsigned i = 0; i < choosing->count; i++)
        if (i != object && ncr_object_needs(&all[i], name))
            return i;
    return 0;
}

static void add_copy(struct ncr_search *search, const struct ncr_object *object) {
    search->objects[search->object_count++] = (struct ncr_object){
        .path = ncr_copy(object->path),
        .soname = ncr_copy(object->soname),
        .rpath = ncr_copy(object->rpath),
        .runpath = ncr_copy(object->runpath),
        .needs_nccl = ncr_copy(object->needs_nccl),
        .is_nccl = object->is_nccl,
        .start = object->start,
        .end = object->end,
    };
}

/* Copy the objects that matter, each with the place of its loader among the copies. */
static void keep(struct choosing *choosing) {
    struct ncr_search *search = choosing->search;
    unsigned *loaders = ncr_allocate(choosing->count, sizeof *loaders),
             *places = ncr_allocate(choosing->count, sizeof *places);
    bool *wanted = ncr_allocate(choosing->count, sizeof *wanted);
    search->objects = ncr_allocate(choosing->count, sizeof *search->objects);
    for (unsigned i = 0; loaders && places && wanted && search->objects && i < choosing->count; i++) {
        const struct ncr_object *object = &choosing->all[i];
        unsigned at = i;
        if (i > 0 && !object->needs_nccl && !object->is_nccl && !is_of_torch(object->path) &&
            !contains(object, search->caller))
            continue;
        for (unsigned steps = 0; !wanted[at] && steps < choosing->count; steps++) {
            wanted[at] = true;
            at = loaders[at] = at ? loader_of(choosing, at) : 0;
        }
    }
    for (unsigned i = 0; wanted && places && search->objects && i < choosing->count; i++)
        if (wanted[i]) {
            places[i] = search->object_count;
            add_copy(search, &choosing->all[i]);
        }
    for (unsigned i = 0; wanted && places && loaders && i < choosing->count; i++)
        if (wanted[i] && search->objects)
            search->objects[places[i]].loader = places[loaders[i]];
    free(loaders);
    free(places);
    free(wanted);
}

static bool collect(void *arg, const struct ncr_object *object) {
    struct choosing *choosing = arg;
    struct ncr_object *more = ncr_allocate_more((void *)choosing->all, (choosing->count + 1) * sizeof *more);
    if (!more)
        return true;
    choosing->all = more;
    more[choosing->count++] = *object;
    return false;
}

/* Inside the loader's walk nothing is unloaded: a walk in the walk's first step sees all of them at once. */
static bool keep_in_walk(void *arg, const struct ncr_object *first) {
    struct choosing *choosing = arg;
    (void)first;
    ncr_objects(collect, choosing);
    ncr_upcoming_visit(collect, choosing);
    if (choosing->all)
        keep(choosing);
    free((void *)choosing->all);
    return true;
}

/** Copy what matters of the objects that the subject maps. */
void ncr_search_objects(struct ncr_search *search) {
    const struct ncr_subject *subject = search->subject;
    struct choosing choosing = {.search = search};
    if (!subject) {
        ncr_objects(keep_in_walk, &choosing);
    } else if (subject->object_count) {
        choosing.all = subject->objects;
        choosing.count = subject->object_count;
        keep(&choosing);
    }
}

void ncr_search_free_objects(struct ncr_search *search) {
    for (unsigned i = 0; i < search->object_count; i++) {
        struct ncr_object *object = &search->objects[i];
        const char *const strings[] = {object->path, object->soname, object->rpath, object->runpath,
                                       object->needs_nccl};
        for (size_t j = 0; j < sizeof strings / sizeof *strings; j++)
            free((char *)strings[j]);
    }
    free(search->objects);
    free(search->program);
}

/** The file that the subject runs, links resolved; NULL if it is not known. */
const char *ncr_search_program(struct ncr_search *search) {
    if (!search->program)
        search->program = ncr_subject_path(search->subject);
    return search->program;
}

/** The first mapped object of this file name, or NULL. */
const struct ncr_object *ncr_search_object(const struct ncr_search *search, const char *base) {
    for (unsigned i = 0; i < search->object_count; i++)
        if (strcmp(ncr_basename(search->objects[i].path), base) == 0)
            return &search->objects[i];
    return NULL;
}

/** The mapped object that this address lies in, or NULL. */
const struct ncr_object *ncr_search_object_at(const struct ncr_search *search, const void *address) {
    for (unsigned i = 0; i < search->object_count; i++)
        if (contains(&search->objects[i], address))
            return &search->objects[i];
    return NULL;
}

/** `object` (or NULL: only the program) as one that needs a library, with what loaded it. */
void ncr_asking_begin(struct ncr_asking *asking, struct ncr_search *search, const struct ncr_object *object) {
    const char *program = ncr_search_program(search);
    *asking = (struct ncr_asking){0};
    unsigned at = object ? (unsigned)(object - search->objects) : 0;
    for (unsigned i = 0; search->object_count && i < NCR_MOST_LOADERS; i++) {
        const struct ncr_object *one = &search->objects[i + 1 == NCR_MOST_LOADERS ? 0 : at];
        asking->chain[i] = (struct ncr_asker){at ? one->path : program, one->rpath, one->runpath, NULL};
        if (i > 0)
            asking->chain[i - 1].loader = &asking->chain[i];
        if (at == 0)
            break;
        at = one->loader;
    }
}

/* ---- for which vendor ---- */

static bool is_rccl_name(const char *name) {
    return ncr_begins(ncr_basename(name), "librccl");
}

/*
 * A program built for AMD's GPUs hands HIP's streams and buffers to NCCL: NVIDIA's would take them for CUDA's, and the
 * other way round. This is known from what is linked or loaded; where both are, it is not known.
 */
void ncr_search_vendor(struct ncr_search *search) {
    const struct ncr_object *of[3] = {NULL, NULL, NULL};
    for (unsigned i = 0; i < search->object_count; i++) {
        const struct ncr_object *object = &search->objects[i];
        const char *base = ncr_basename(object->path);
        enum ncr_vendor vendor = strcmp(base, "libtorch_hip.so") == 0    ? NCR_AMD
                                 : strcmp(base, "libtorch_cuda.so") == 0 ? NCR_NVIDIA
                                 : !object->needs_nccl                   ? NCR_ANY_VENDOR
                                 : is_rccl_name(object->needs_nccl)      ? NCR_AMD
                                                                         : NCR_NVIDIA;
        of[vendor] = of[vendor] ? of[vendor] : object;
    }
    search->vendor = of[NCR_AMD] && !of[NCR_NVIDIA]   ? NCR_AMD
                     : of[NCR_NVIDIA] && !of[NCR_AMD] ? NCR_NVIDIA
                                                      : NCR_ANY_VENDOR;
    search->vendor_shown_by = search->vendor ? of[search->vendor] : NULL;
}
