/*
 * Handles and the libraries that made them. Read on every routed call, without a lock: open addressing in a table that is replaced
 * when it is full, never freed (a reader may be in it; a program makes few communicators). Written under a lock, seldom.
 */
#include "route.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

struct owner {
    _Atomic(const void *) handle; /* NULL: free; GONE: was one, keep looking behind it */
    _Atomic(struct ncr_library *) library;
};

struct table {
    size_t size; /* a power of two, at most half of it used */
    size_t used; /* under the lock; counts what is gone too */
    struct owner owners[];
};

static const char gone_mark;
#define GONE ((const void *)&gone_mark)

static _Atomic(struct table *) tables[NCR_KINDS];
static atomic_flag locked = ATOMIC_FLAG_INIT;

/* Handles that NCCL writes later: when a group ends, or by another thread of a non-blocking communicator. Under the lock. */
static struct later {
    enum ncr_kind kind;
    void **where;
    struct ncr_library *library;
    const void *group; /* names the thread whose group it is made in, or NULL */
} *laters;
static size_t later_room;
static _Atomic size_t later_count;

static void enter(void) {
    while (atomic_flag_test_and_set_explicit(&locked, memory_order_acquire))
        ;
}

static void leave(void) {
    atomic_flag_clear_explicit(&locked, memory_order_release);
}

static size_t place(const void *handle, size_t size) {
    uint64_t h = (uintptr_t)handle * 0x9e3779b97f4a7c15u; /* Fibonacci hashing: addresses are multiples of 16 */
    return (size_t)(h >> 32) & (size - 1);
}

/* The entry of a handle, or NULL. Any thread. */
static struct owner *find(struct table *table, const void *handle) {
    if (!table)
        return NULL;
    for (size_t i = place(handle, table->size);; i = (i + 1) & (table->size - 1)) {
        const void *here = atomic_load_explicit(&table->owners[i].handle, memory_order_acquire);
        if (here == handle)
            return &table->owners[i];
        if (!here)
            return NULL;
    }
}

static void insert(struct table *table, const void *handle, struct ncr_library *library) {
    size_t i = place(handle, table->size);
    while (atomic_load_explicit(&table->owners[i].handle, memory_order_relaxed))
        i = (i + 1) & (table->size - 1);
    atomic_store_explicit(&table->owners[i].library, library, memory_order_relaxed);
    atomic_store_explicit(&table->owners[i].handle, handle, memory_order_release);
    table->used++;
}

/* A table with room for one more, with what is still there. NULL on lack of memory. Under the lock. */
static struct table *with_room(enum ncr_kind kind) {
    struct table *old = atomic_load(&tables[kind]);
    if (old && 2 * (old->used + 1) <= old->size)
        return old;
    size_t size = old ? 2 * old->size : 256;
    struct table *new = calloc(1, sizeof *new + size * sizeof *new->owners);
    if (!new)
        return NULL;
    new->size = size;
    for (size_t i = 0; old && i < old->size; i++) {
        const void *handle = atomic_load(&old->owners[i].handle);
        if (handle && handle != GONE)
            insert(new, handle, atomic_load(&old->owners[i].library));
    }
    atomic_store(&tables[kind], new);
    return new;
}

static void own(enum ncr_kind kind, const void *handle, struct ncr_library *library) {
    struct owner *known = find(atomic_load(&tables[kind]), handle);
    if (known) {
        atomic_store(&known->library, library);
        return;
    }
    struct table *table = with_room(kind);
    if (table)
        insert(table, handle, library);
}

/** Remember who made a handle. NULL and the default library's handles need not be remembered, and are not. */
void ncr_own(enum ncr_kind kind, const void *handle, struct ncr_library *library) {
    if (!handle || library == ncr_library_at(0))
        return;
    enter();
    own(kind, handle, library);
    leave();
}

/** Forget a handle, before the call that destroys it: its address may be used again as soon as that returns. */
void ncr_disown(enum ncr_kind kind, const void *handle) {
    struct table *table = atomic_load(&tables[kind]);
    if (!find(table, handle))
        return;
    enter();
    struct owner *known = find(atomic_load(&tables[kind]), handle);
    if (known)
        atomic_store(&known->handle, GONE);
    leave();
}

/* An unknown handle while others are still expected: one of those, or the default library's, which is then remembered so that it
 * is looked for but once. */
static struct owner *expect(enum ncr_kind kind, const void *handle) {
    ncr_settle_later(NULL);
    enter();
    struct owner *known = find(atomic_load(&tables[kind]), handle);
    if (!known) {
        own(kind, handle, ncr_library_at(0));
        known = find(atomic_load(&tables[kind]), handle);
    }
    leave();
    return known;
}

/** The library that made a handle; the default one for every handle that is not known. Any thread, no lock. */
struct ncr_library *ncr_owner(enum ncr_kind kind, const void *handle) {
    if (!handle)
        return ncr_library_at(0);
    struct owner *known = find(atomic_load_explicit(&tables[kind], memory_order_acquire), handle);
    if (!known && atomic_load_explicit(&later_count, memory_order_relaxed) > 0)
        known = expect(kind, handle);
    return known ? atomic_load_explicit(&known->library, memory_order_relaxed) : ncr_library_at(0);
}

/** Remember where a handle will be written. *where must be NULL now. `group` names the thread whose group it is made in. */
void ncr_own_later(enum ncr_kind kind, void **where, struct ncr_library *library, const void *group) {
    if (library == ncr_library_at(0))
        return;
    enter();
    size_t count = atomic_load(&later_count);
    if (count == later_room) {
        size_t room = later_room ? 2 * later_room : 16;
        struct later *more = realloc(laters, room * sizeof *more);
        if (more) {
            laters = more;
            later_room = room;
        }
    }
    if (count < later_room) {
        laters[count] = (struct later){kind, where, library, group};
        atomic_store(&later_count, count + 1);
    }
    leave();
}

/* The program may have freed the memory meanwhile: the system call fails where a load would crash. */
static bool read_safely(void **where, void **value) {
    struct iovec from = {where, sizeof *where}, to = {value, sizeof *value};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)sizeof *value;
}

/**
 * Look at the places where handles were expected, and remember those that have come. `ended` names the thread whose group has just
 * ended with success: what it has not written is no handle (a split without a color). Any thread.
 */
void ncr_settle_later(const void *ended) {
    enter();
    size_t kept = 0, count = atomic_load(&later_count);
    for (size_t i = 0; i < count; i++) {
        void *handle = NULL;
        bool readable = read_safely(laters[i].where, &handle);
        if (readable && handle)
            own(laters[i].kind, handle, laters[i].library);
        else if (readable && (!ended || laters[i].group != ended))
            laters[kept++] = laters[i];
    }
    atomic_store(&later_count, kept);
    leave();
}
