/* Handles and the libraries that made them; what reads the tables is in owners.h. */
#include "owners.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char gone_mark;
#define GONE ((const void *)&gone_mark)

_Atomic(struct ncr_owners *) ncr_owners[NCR_KINDS];

static atomic_flag locked = ATOMIC_FLAG_INIT;

/*
 * Where NCCL writes handles later: when a group ends, or by another thread of a non-blocking communicator. Under the
 * lock.
 */
static struct later {
    enum ncr_kind kind;
    void **where;
    struct ncr_library *library;
    const void *group; /* names the thread whose group it is made in, or NULL */
} * laters;
static size_t later_room;
static _Atomic size_t later_count;

static void enter(void) {
    while (atomic_flag_test_and_set_explicit(&locked, memory_order_acquire))
        sched_yield();
}

static void leave(void) {
    atomic_flag_clear_explicit(&locked, memory_order_release);
}

/*
 * A fork must not copy a table that is being written. Registered once, and not under the binding lock: before glibc
 * 2.36 a fork holds the lock of the handlers while it waits for ours.
 */
static void make_forks_wait(void) {
    static atomic_flag registered = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&registered))
        ncr_at_fork(enter, leave);
}

/*
 * For a handle that is not in the table. Takes the place of one that is gone: a program that creates and destroys for
 * ever, mostly at the same addresses, needs no more room for it.
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
    if (!new)
        return NULL;
    new->mask = size - 1;
    for (size_t i = 0; i < old_size; i++) {
        const void *handle = atomic_load(&old->owners[i].handle);
        if (handle && handle != GONE)
            insert(new, handle, atomic_load(&old->owners[i].library));
    }
    atomic_store(&ncr_owners[kind], new);
    return new;
}

static void own(enum ncr_kind kind, const void *handle, struct ncr_library *library) {
    struct ncr_owner *known = ncr_owner_find(atomic_load(&ncr_owners[kind]), handle);
    if (known) {
        atomic_store(&known->library, library);
        return;
    }
    struct ncr_owners *table = with_room(kind);
    if (table)
        insert(table, handle, library);
}

static void own_if_unknown(enum ncr_kind kind, const void *handle, struct ncr_library *library) {
    if (!ncr_owner_find(atomic_load(&ncr_owners[kind]), handle))
        own(kind, handle, library);
}

/** Remember who has just made a handle, whoever had one at this address before. NULL is none. */
void ncr_own(enum ncr_kind kind, const void *handle, struct ncr_library *library) {
    if (!handle)
        return;
    make_forks_wait();
    enter();
    own(kind, handle, library);
    leave();
}

/** Take back ncr_disown(): the call that should destroy the handle has failed. */
void ncr_own_again(enum ncr_kind kind, const void *handle, struct ncr_library *library) {
    if (!handle)
        return;
    enter();
    own_if_unknown(kind, handle, library);
    leave();
}

/** Forget a handle, before the call that destroys it: its address may be used again before that returns. */
void ncr_disown(enum ncr_kind kind, const void *handle) {
    if (!handle || !ncr_owner_find(atomic_load(&ncr_owners[kind]), handle))
        return;
    enter();
    struct ncr_owners *table = atomic_load(&ncr_owners[kind]);
    struct ncr_owner *known = ncr_owner_find(table, handle);
    if (known) {
        atomic_store(&known->handle, GONE);
        table->gone++;
    }
    leave();
}

/**
 * The library of a handle that the table lacks: while others are still expected, one of those; else the default one,
 * and that is remembered so that it is looked for but once.
 */
struct ncr_library *ncr_owner_of_unknown(enum ncr_kind kind, const void *handle) {
    if (!handle || atomic_load_explicit(&later_count, memory_order_relaxed) == 0)
        return ncr_library_at(0);
    ncr_settle_later();
    enter();
    own_if_unknown(kind, handle, ncr_library_at(0));
    struct ncr_owner *known = ncr_owner_find(atomic_load(&ncr_owners[kind]), handle);
    struct ncr_library *library = known ? atomic_load(&known->library) : ncr_library_at(0);
    leave();
    return library;
}

/**
 * Remember where a handle will be written. *where must be NULL now. `group` names the thread whose group it is made in.
 */
void ncr_own_later(enum ncr_kind kind, void **where, struct ncr_library *library, const void *group) {
    make_forks_wait();
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

/*
 * The program may have freed the memory meanwhile, and a load would crash. The kernel reads it first, and only then
 * sees that the first argument is nonsense.
 */
static void *read_safely(void **where) {
    int error = errno;
    bool unreadable = syscall(SYS_rt_sigprocmask, ~0, where, NULL, sizeof *where) < 0 && errno == EFAULT;
    errno = error;
    return unreadable ? NULL : __atomic_load_n(where, __ATOMIC_ACQUIRE);
}

/* Remember the handle if it has come. */
static bool has_come(const struct later *later) {
    void *handle = read_safely(later->where);
    if (handle)
        own_if_unknown(later->kind, handle, later->library);
    return handle != NULL;
}

/** Look at the places where handles are expected, and remember those that have come. Any thread. */
void ncr_settle_later(void) {
    if (atomic_load(&later_count) == 0)
        return;
    enter();
    size_t kept = 0, count = atomic_load(&later_count);
    for (size_t i = 0; i < count; i++)
        if (!has_come(&laters[i]))
            laters[kept++] = laters[i];
    atomic_store(&later_count, kept);
    leave();
}

/**
 * The group of a thread has ended with `code`: handles have come, or will (ncclInProgress); after success what was not
 * written is none (a split without a color), and after an error all are none.
 */
void ncr_settle_group(const void *group, int code) {
    if (atomic_load(&later_count) == 0)
        return;
    enter();
    size_t kept = 0, count = atomic_load(&later_count);
    for (size_t i = 0; i < count; i++) {
        bool ours = laters[i].group == group;
        if (ours && (code == NCR_SUCCESS || code == NCR_IN_PROGRESS))
            ours = has_come(&laters[i]) || code == NCR_SUCCESS;
        if (ours)
            continue;
        if (laters[i].group == group)
            laters[i].group = NULL;
        laters[kept++] = laters[i];
    }
    atomic_store(&later_count, kept);
    leave();
}

/** A call will write its handle here: an older one is not expected any more. */
void ncr_forget_later(void **where) {
    if (atomic_load(&later_count) == 0)
        return;
    enter();
    size_t kept = 0, count = atomic_load(&later_count);
    for (size_t i = 0; i < count; i++)
        if (laters[i].where != where)
            laters[kept++] = laters[i];
    atomic_store(&later_count, kept);
    leave();
}
