/* SPDX-License-Identifier: Apache-2.0 */
/* Handles and the libraries that made them; what reads the tables is in owners.h. */
#include "owners.h"

#include <stdlib.h>

static const char gone_mark;
#define GONE ((const void *)&gone_mark)

_Atomic(struct ncr_owners *) ncr_owners[NCR_KINDS];

static struct ncr_mutex mutex;

static void enter(void) {
    ncr_mutex_lock(&mutex);
}

static void leave(void) {
    ncr_mutex_unlock(&mutex);
}

/**
 * A fork must not copy a table that is being written. Its handlers are registered once, without a lock: before glibc
 * 2.36 a fork holds the lock of the handlers while it waits for ours.
 */
void ncr_owners_lock(void) {
    static _Atomic unsigned registered;
    ncr_at_fork(&registered, enter, leave, leave);
    enter();
}

void ncr_owners_unlock(void) {
    leave();
}

/*
 * For a handle that is not in the table. Takes the place of a removed one: a program that creates and destroys again
 * and again, mostly at the same addresses, needs no more room.
 */
static void insert(struct ncr_owners *table, const void *handle, struct ncr_library *library) {
    size_t i = ncr_owner_place(table, handle);
    const void *here;
    while ((here = atomic_load_explicit(&table->owners[i].handle, memory_order_relaxed)) && here != GONE)
        i = (i + 1) & table->mask;
    table->filled += here == NULL;
    table->gone -= here == GONE;
    atomic_store_explicit(&table->owners[i].library, library, memory_order_relaxed);
    atomic_store_explicit(&table->owners[i].handle, handle, memory_order_release);
}

/* A table with room for one more, with what is still there. NULL on lack of memory. Under the lock. */
static struct ncr_owners *with_room(enum ncr_kind kind) {
    struct ncr_owners *old = atomic_load(&ncr_owners[kind]);
    size_t old_size = old ? old->mask + 1 : 0;
    if (2 * (old ? old->filled + 1 : 1) <= old_size)
        return old;
    size_t size = !old ? 256 : 4 * (old->filled - old->gone) < old_size ? old_size : 2 * old_size;
    struct ncr_owners *new = calloc(1, sizeof *new + size * sizeof *new->owners);
    if (!new) /* slower to look up, until there is memory */
        return old && old->filled + 1 < old_size ? old : NULL;
    new->mask = size - 1;
    for (size_t i = 0; i < old_size; i++) {
        const void *handle = atomic_load(&old->owners[i].handle);
        if (handle && handle != GONE)
            insert(new, handle, atomic_load(&old->owners[i].library));
    }
    atomic_store(&ncr_owners[kind], new);
    return new;
}

/** Is there room for one more handle? */
bool ncr_owners_reserve(enum ncr_kind kind) {
    ncr_owners_lock();
    bool room = with_room(kind);
    ncr_owners_unlock();
    return room;
}

/** Record which library has just made a handle, replacing an older entry for this address. Under the lock. */
void ncr_own_locked(enum ncr_kind kind, const void *handle, struct ncr_library *library) {
    struct ncr_owner *known = ncr_owner_find(atomic_load(&ncr_owners[kind]), handle);
    if (known) {
        atomic_store(&known->library, library);
        return;
    }
    struct ncr_owners *table = with_room(kind);
    if (table)
        insert(table, handle, library);
}

/** Remove a handle. Under the lock. */
void ncr_disown_locked(enum ncr_kind kind, const void *handle) {
    struct ncr_owners *table = atomic_load(&ncr_owners[kind]);
    struct ncr_owner *known = ncr_owner_find(table, handle);
    if (known) {
        atomic_store(&known->handle, GONE);
        table->gone++;
    }
}

/** Take back ncr_disown(): the call that should destroy the handle has failed. */
void ncr_own_again(enum ncr_kind kind, const void *handle, struct ncr_library *library) {
    if (!handle)
        return;
    ncr_owners_lock();
    if (!ncr_owner_find(atomic_load(&ncr_owners[kind]), handle))
        ncr_own_locked(kind, handle, library);
    ncr_owners_unlock();
}

/** Remove a handle, before the call that destroys it: its address may be used again before that returns. */
void ncr_disown(enum ncr_kind kind, const void *handle) {
    if (!handle || !ncr_owner_find(atomic_load(&ncr_owners[kind]), handle))
        return;
    ncr_owners_lock();
    ncr_disown_locked(kind, handle);
    ncr_owners_unlock();
}
