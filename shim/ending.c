/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NCCL's static objects are destroyed by exit(), those of a library that was opened at run time before the destructor
 * functions of other libraries run. What still releases a communicator then would reach destroyed objects, with or without
 * a preload. So from that moment on such calls succeed without reaching the library: what they release ends with the
 * process. (The order of the objects themselves is loader/upcoming.c's.)
 */
#include "layer.h"

/* What destructors call. */
static const uint8_t releasing[] = {
    NCR_ROW_ncclCommFinalize,         NCR_ROW_ncclCommDestroy, NCR_ROW_ncclCommAbort,    NCR_ROW_ncclCommDeregister,
    NCR_ROW_ncclCommWindowDeregister, NCR_ROW_ncclMemFree,     NCR_ROW_ncclRedOpDestroy, NCR_ROW_ncclDevCommDestroy,
};

static int released(void) {
    return NCR_SUCCESS;
}

/* Called by exit(). Other threads may be in NCCL. */
static void end(void *handle) {
    struct ncr_library *library = ncr_library_with(handle);
    for (size_t i = 0; library && i < 2 * sizeof releasing; i++) {
        unsigned slot = 2U * releasing[i / 2] + i % 2;
        if (library->entries[slot])
            __atomic_store_n(&library->entries[slot], NCR_ADDRESS(released), __ATOMIC_RELAXED);
        if (ncr_state() == NCR_BOUND)
            ncr_publish_slot(slot);
    }
}

/* The registration that atexit makes; the third argument says whose it is. */
int __cxa_atexit(void (*function)(void *), void *arg, void *library);
extern __attribute__((visibility("hidden"))) void *__dso_handle;

/** To be called as soon as a library is open, so that its own exit handlers run directly after ours. */
void ncr_at_end_of(void *handle) {
    __cxa_atexit(end, handle, __dso_handle);
}
