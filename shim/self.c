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

/** A handle of this shim, as dlopen would give one; `mode` as the program gave it. */
void *ncr_open_self(int mode) {
    const char *path = ncr_scope_own_path();
    return path ? ncr_real_dlopen()(path, (mode & (RTLD_LAZY | RTLD_NOW)) | RTLD_NOLOAD) : NULL;
}
