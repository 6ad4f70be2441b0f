/* SPDX-License-Identifier: Apache-2.0 */
/* This preload in the loader's eyes: its own handle, and the dlopen behind its own. */
#include "shim.h"
#include "old_glibc.h"

/** The next dlopen behind ours: the C library's, or that of another interposer. */
ncr_dlopen *ncr_real_dlopen(void) {
    static _Atomic(ncr_dlopen *) real; /* every thread finds the same */
    ncr_dlopen *known = atomic_load_explicit(&real, memory_order_relaxed);
    if (!known) {
        known = NCR_FUNCTION(ncr_dlopen, dlsym(RTLD_NEXT, "dlopen"));
        atomic_store_explicit(&real, known, memory_order_relaxed);
    }
    return known;
}

/* The loader's own name for this shim: its string, valid for as long as the shim is. */
static _Atomic(const char *) self_path;

static bool find_self(void *arg, const struct ncr_object *object) {
    uintptr_t here = (uintptr_t)ncr_trampolines_start;
    (void)arg;
    if (here < object->start || here >= object->end)
        return false;
    atomic_store(&self_path, object->path);
    return true;
}

/**
 * Find this shim in the loader's list. In the constructor, since the walk holds a lock that a forked child would find
 * held.
 */
void ncr_find_self(void) {
    ncr_objects(find_self, NULL);
}

/** A handle of this shim, as dlopen would give one; `mode` as the program gave it. */
void *ncr_open_self(int mode) {
    if (!atomic_load(&self_path))
        ncr_find_self();
    const char *path = atomic_load(&self_path);
    return path ? ncr_real_dlopen()(path, (mode & (RTLD_LAZY | RTLD_NOW)) | RTLD_NOLOAD) : NULL;
}
