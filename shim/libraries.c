/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opened NCCLs. Number 0 is the process's default; a layer may open others, once each, and all stay open. A library
 * is complete before any other thread sees it, and does not change afterwards. The list only grows, and a count that is
 * stored last publishes each entry.
 */
#include "layer.h"
#include "old_glibc.h"

#include <stdlib.h>
#include <string.h>

/* Until something is bound: no handle, no function. */
static struct ncr_library unbound;
static _Atomic(struct ncr_library *) libraries[NCR_MOST_LIBRARIES] = {&unbound};
static _Atomic unsigned count = 1;
static struct ncr_mutex adding; /* for writers; readers take none */

unsigned ncr_library_count(void) {
    return atomic_load_explicit(&count, memory_order_acquire);
}

struct ncr_library *ncr_library_at(unsigned index) {
    return atomic_load_explicit(&libraries[index], memory_order_acquire);
}

/* ---- one library ---- */

/* A backend that is itself linked with libnccl.so.2 may lead a name back to this shim: that would be a loop. */
static bool is_ours(const void *address) {
    return (const char *)address >= ncr_trampolines_start && (const char *)address < ncr_unbound_end;
}

static void *look_up(void *handle, const char *name) {
    void *address = dlsym(handle, name);
    return is_ours(address) ? NULL : address;
}

/**
 * The library's function for a slot, or NULL. Builds of NCCL before 2.16 have no profiling aliases; the function does
 * the same.
 */
void *ncr_library_function(void *handle, unsigned slot) {
    const struct ncr_function *f = &ncr_functions[slot / 2];
    char alias[1 + NCR_MOST_NAME] = "p";
    if (slot % 2 == 0)
        return look_up(handle, f->name);
    if (!f->alias)
        return NULL;
    memcpy(alias + 1, f->name, sizeof f->name);
    void *function = look_up(handle, alias);
    return function ? function : look_up(handle, f->name);
}

static void fill_targets(struct ncr_library *library) {
    void *handle = library->backend.handle;
    struct ncr_object object = {0};
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot += 2) {
        void *function = ncr_library_function(handle, slot);
        library->targets[slot] = function;
        /* Without the function there is no alias: a failing lookup is what takes the loader long. */
        library->targets[slot + 1] = function ? ncr_library_function(handle, slot + 1) : NULL;
    }
    dlerror(); /* names that the library lacks have left a message */
    ncr_object_at(library->targets[0], &object);
    library->start = object.start;
    library->end = object.end;
}

static void fill_entries(struct ncr_library *library) {
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++) {
        void *address = library->targets[slot];
        for (const struct ncr_layer *const *layer = ncr_layers; *layer; layer++)
            if ((*layer)->entry)
                address = (*layer)->entry(library, slot, address);
        library->entries[slot] = address;
    }
    for (const struct ncr_layer *const *layer = ncr_layers; *layer; layer++)
        if ((*layer)->opened)
            (*layer)->opened(library);
}

/** Room for a library, before it is opened: what was opened is then never lost for lack of memory. Or NULL. */
struct ncr_library *ncr_library_new(void) {
    return ncr_allocate(1, sizeof(struct ncr_library));
}

/** A library that was just opened, with all that is to be known of it. Owns `backend` from now on. */
void ncr_library_fill(struct ncr_library *library, const struct ncr_backend *backend) {
    library->backend = *backend;
    fill_targets(library);
    fill_entries(library);
}

/** Hexadecimal, "" if the file has none. */
const char *ncr_build_id(const struct ncr_library *library) {
    return library->backend.build_id ? library->backend.build_id : "";
}

/** For one that was never published. The handle stays open: another thread has published the same. */
void ncr_library_free(struct ncr_library *library) {
    free(library->backend.path);
    free(library->backend.build_id);
    free(library->backend.origin);
    free(library);
}

/* ---- the list ---- */

/** Make this the process's default. Once; several threads may do so with the same. */
void ncr_library_set_default(struct ncr_library *library) {
    atomic_store_explicit(&libraries[0], library, memory_order_release);
}

/** The library with this handle, or NULL. Any thread. */
struct ncr_library *ncr_library_with(const void *handle) {
    for (unsigned i = 0; i < ncr_library_count(); i++)
        if (ncr_library_at(i)->backend.handle == handle)
            return ncr_library_at(i);
    return NULL;
}

/**
 * Add a library, which then has a number; or find that it is there, and return that one (and free this). NULL if there
 * is no room. Any thread.
 */
struct ncr_library *ncr_library_add(struct ncr_library *library) {
    ncr_mutex_lock(&adding);
    struct ncr_library *here = ncr_library_with(library->backend.handle);
    unsigned index = ncr_library_count();
    if (!here && index < NCR_MOST_LIBRARIES) {
        library->index = index;
        atomic_store_explicit(&libraries[index], library, memory_order_release);
        atomic_store_explicit(&count, index + 1, memory_order_release);
        here = library;
    }
    ncr_mutex_unlock(&adding);
    if (here != library)
        ncr_library_free(library);
    return here;
}

/** Is this address inside the code or data of an opened library? */
bool ncr_in_backend(const void *address) {
    for (unsigned i = 0; i < ncr_library_count(); i++) {
        const struct ncr_library *library = ncr_library_at(i);
        if ((uintptr_t)address >= library->start && (uintptr_t)address < library->end)
            return true;
    }
    return false;
}
