/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which library made a handle: asked on every routed call, without a lock. Open addressing in a table that is replaced
 * when it is full and never freed, because a reader may be in it. Written under a lock, when something is created or
 * destroyed (owners.c). A handle is in the table before the program gets it (pending.c), so one that is not is older
 * than routing.
 */
#ifndef NCR_OWNERS_H
#define NCR_OWNERS_H

#include "route.h"

struct ncr_owner {
    _Atomic(const void *) handle; /* NULL: free; GONE (owners.c): was one, continue with the next place */
    _Atomic(struct ncr_library *) library;
};

struct ncr_owners {
    size_t mask;   /* places - 1; their number is a power of two */
    size_t filled; /* places that are not free, at most half of them; under the lock */
    size_t gone;   /* places of those that hold GONE; under the lock */
    struct ncr_owner owners[];
};

extern _Atomic(struct ncr_owners *) ncr_owners[NCR_KINDS];

static inline size_t ncr_owner_place(const struct ncr_owners *table, const void *handle) {
    uint64_t h = (uintptr_t)handle * 0x9e3779b97f4a7c15u; /* Fibonacci hashing: addresses are multiples of 16 */
    return (size_t)(h >> 32) & table->mask;
}

/*
 * The entry of a handle, or NULL. Any thread. Inlined also where the rest is built for size: every routed call does
 * this.
 */
__attribute__((always_inline)) static inline struct ncr_owner *ncr_owner_find(struct ncr_owners *table,
                                                                              const void *handle) {
    if (!table)
        return NULL;
    for (size_t i = ncr_owner_place(table, handle);; i = (i + 1) & table->mask) {
        const void *here = atomic_load_explicit(&table->owners[i].handle, memory_order_acquire);
        if (here == handle)
            return &table->owners[i];
        if (!here)
            return NULL;
    }
}

/** The library that made a handle; the default one for every handle that is not known. Any thread. */
__attribute__((always_inline)) static inline struct ncr_library *ncr_owner(enum ncr_kind kind, const void *handle) {
    struct ncr_owner *known = ncr_owner_find(atomic_load_explicit(&ncr_owners[kind], memory_order_acquire), handle);
    if (known && handle)
        return atomic_load_explicit(&known->library, memory_order_relaxed);
    return ncr_library_at(0);
}

/* ---- owners.c: the lock of the tables, which also guards what is pending; and what runs under it ---- */

void ncr_owners_lock(void);
void ncr_owners_unlock(void);
void ncr_own_locked(enum ncr_kind kind, const void *handle, struct ncr_library *library);
void ncr_disown_locked(enum ncr_kind kind, const void *handle);
bool ncr_owners_reserve(enum ncr_kind kind);
bool ncr_is_pending_locked(void);

#endif
