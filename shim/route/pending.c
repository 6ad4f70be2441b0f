/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles on their way to the program. NCCL writes the handle that a call makes where the program says, and not always
 * before the call returns: a split, a shrink or a window in a group when the group ends, and on a non-blocking
 * communicator a thread of NCCL does, some time later; the call has then returned ncclSuccess or ncclInProgress, and
 * the variable is NULL. Such a handle is pending. It must be known to be of its library before the program uses it.
 *
 * The obvious ways fail. To read the program's variable later is wrong as soon as the program has taken the handle out
 * of it, which it may do the moment it sees one: from then on the memory is the program's again. To conclude the
 * library from a handle that is in no table fails as soon as two libraries have one pending, and a handle does not tell
 * its library by itself.
 *
 * So NCCL gets a place of ours, on the heap. What NCCL writes there is put into the table of owners first and into the
 * program's variable then, both under one lock. Hence:
 *
 *   - The program has no handle that the table lacks, whichever thread sees it and however it learns of it.
 *   - A variable of the program is never read, and written only when NCCL has written: NCCL would have written then,
 *     so it is alive. NCCL writes nothing after it has reported the end of an operation or destroyed its communicator.
 *   - A place of ours outlives the operation: it is freed when NCCL says that it is over (a result that is an error or,
 *     for a group, not ncclInProgress; ncclCommGetAsyncError), or when one of its communicators has been destroyed.
 *     A returned ncclSuccess does not say so: ncclCommSplit returns it before there is a handle (v2.18.6:init.cc:1985),
 *     and ncclCommGrow writes the handle a second time (v2.30.7:init.cc:3224).
 *   - The handle reaches the program before any call returns that could tell the program about it: the call itself, the
 *     end of a group, ncclCommGetAsyncError. A program that only watches its variable gets it from a thread of ours,
 *     which lives while a handle is pending, a fraction of a millisecond later (watch.c).
 */
#include "owners.h"

#include <stdlib.h>
#include <time.h>

enum { MOST_HANDLES = 4096, PATIENCE_SECONDS = 1 };

struct ncr_pending {
    struct ncr_pending *next;
    struct ncr_making of;
    void **program;    /* the program's variable; NULL: it gets nothing any more */
    const void *group; /* the group that it is made in, by its thread, or NULL */
    bool calling;      /* the call that makes it has not returned */
    const void *ender; /* names the thread that is destroying one of its communicators, or NULL */
    time_t reported;   /* when NCCL said that the communicator it is made of has nothing in progress; 0: it did not */
    int count;
    void **seen;  /* what was there when we looked last */
    void *ours[]; /* where NCCL writes */
};

/* Under the lock of the owners; the count is also asked for without. */
static struct ncr_pending *pendings;
static _Atomic unsigned pending_count;

static time_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1;
}

static void publish(struct ncr_pending *p) {
    for (int i = 0; i < p->count; i++) {
        void *here = __atomic_load_n(&p->ours[i], __ATOMIC_ACQUIRE);
        if (here == p->seen[i])
            continue;
        if (here)
            ncr_own_locked(p->of.kind, here, p->of.library);
        else /* NCCL has taken it back: the group failed */
            ncr_disown_locked(p->of.kind, p->seen[i]);
        p->seen[i] = here;
        if (p->program)
            __atomic_store_n(&p->program[i], here, __ATOMIC_RELEASE);
    }
}

static bool is_complete(const struct ncr_pending *p) {
    for (int i = 0; i < p->count; i++)
        if (!p->seen[i])
            return false;
    return true;
}

/* Something that happens: the program gets what has come, and what is over is freed. */
struct event {
    bool (*ends)(struct ncr_pending *p, const struct event *event);
    enum ncr_kind kind;
    const void *handle;
    const void *group;
    const struct ncr_library *library;
    int code;
    bool may_come;
};

static void happen(const struct event *event) {
    if (atomic_load(&pending_count) == 0)
        return;
    ncr_owners_lock();
    for (struct ncr_pending **link = &pendings, *p; (p = *link);) {
        publish(p);
        if ((p->calling && event->handle != p) || !event->ends || !event->ends(p, event)) {
            link = &p->next;
            continue;
        }
        *link = p->next;
        atomic_fetch_sub(&pending_count, 1);
        free(p);
    }
    ncr_owners_unlock();
}

/* ---- the call ---- */

/** Before a call that makes `count` handles in a row: the place to hand to NCCL for the program's. */
void **ncr_expect_several(struct ncr_making *making, void **handles, int count) {
    making->pending = NULL;
    making->direct = NULL;
    making->no_memory = false;
    if (!ncr_routing() || !handles || count < 1 || count > MOST_HANDLES)
        return handles;
    bool must_be_known = making->library->index > 0;
    making->no_memory = must_be_known && !ncr_owners_reserve(making->kind);
    struct ncr_pending *p =
        making->kind == NCR_MEMORIES ? NULL : calloc(1, sizeof *p + 2 * (size_t)count * sizeof(void *));
    if (!p) { /* memory is complete when the call returns; otherwise we are out of it, and most handles are too */
        making->no_memory |= must_be_known && making->kind != NCR_MEMORIES;
        making->direct = handles;
        return handles;
    }
    p->of = *making;
    p->program = handles;
    p->group = ncr_group_of_thread();
    p->calling = true;
    p->count = count;
    p->seen = p->ours + count;
    making->pending = p;
    ncr_owners_lock();
    p->next = pendings;
    pendings = p;
    atomic_fetch_add(&pending_count, 1);
    ncr_owners_unlock();
    ncr_watch_pending();
    return p->ours;
}

/** The same for one handle. As NCCL does, the program's variable is NULL first. */
void **ncr_expect(struct ncr_making *making, void **handle) {
    void **place = ncr_expect_several(making, handle, 1);
    if (handle && place != handle)
        __atomic_store_n(handle, NULL, __ATOMIC_RELEASE);
    return place;
}

/* Is something in progress on the communicator that it is made of? Asked in a call that has that communicator. */
static bool is_in_progress(const struct ncr_making *making) {
    typedef int get_state(const void *, int *);
    get_state *get = NCR_FUNCTION(get_state, making->library->targets[2 * NCR_ROW_ncclCommGetAsyncError]);
    int state = NCR_SUCCESS;
    return making->parent && get && get(making->parent, &state) == NCR_SUCCESS && state == NCR_IN_PROGRESS;
}

/* ncclSuccess and no handle: outside of a group only a non-blocking communicator still makes one. */
static bool may_still_come(const struct ncr_making *making, int code) {
    struct ncr_pending *p = making->pending;
    ncr_owners_lock();
    publish(p);
    bool come = p->group || is_complete(p);
    ncr_owners_unlock();
    return code == NCR_IN_PROGRESS || (code == NCR_SUCCESS && !come && is_in_progress(making));
}

static bool has_returned(struct ncr_pending *p, const struct event *event) {
    if (event->handle != p)
        return false;
    p->calling = false;
    if (p->group)
        return false; /* its end decides */
    if (event->code != NCR_SUCCESS && event->code != NCR_IN_PROGRESS)
        return true;
    if (is_complete(p))
        return p->count > 1 && event->code == NCR_SUCCESS; /* ncclCommInitAll, which leaves nothing to be done */
    if (event->may_come)
        return false;
    p->reported = now();
    return !ncr_group_may_be_older();
}

/** Fail the call for lack of memory. */
int ncr_refuse_making(const struct ncr_making *making) {
    ncr_poison_group(making->library);
    return ncr_fail(NCR_SYSTEM_ERROR, "nccl-redirect: out of memory to route a new communicator, window or buffer");
}

/** After that call, with its result, which is returned. */
int ncr_made(struct ncr_making *making, int code) {
    struct ncr_pending *p = making->pending;
    if (making->direct && code == NCR_SUCCESS) {
        ncr_owners_lock();
        if (*making->direct)
            ncr_own_locked(making->kind, *making->direct, making->library);
        ncr_owners_unlock();
    }
    if (p)
        happen(
            &(struct event){.ends = has_returned, .handle = p, .code = code, .may_come = may_still_come(making, code)});
    return code;
}

/* ---- what may end it later ---- */

static bool is_about(const struct ncr_pending *p, enum ncr_kind kind, const void *handle) {
    if (kind == NCR_COMMUNICATORS && p->of.parent == handle)
        return true;
    for (int i = 0; i < p->count; i++)
        if (p->of.kind == kind && p->seen[i] == handle)
            return true;
    return false;
}

static bool is_over(struct ncr_pending *p, const struct event *event) {
    if (p->group || event->code == NCR_IN_PROGRESS || !is_about(p, NCR_COMMUNICATORS, event->handle))
        return false;
    if (is_complete(p))
        return event->code == NCR_SUCCESS;
    if (event->code == NCR_SUCCESS)
        p->reported = p->reported ? p->reported : now();
    else
        p->program = NULL;
    return false;
}

/** ncclCommGetAsyncError has told the state of this communicator; called before the program learns of it. */
void ncr_pending_reported(const void *communicator, int state) {
    if (communicator)
        happen(&(struct event){.ends = is_over, .handle = communicator, .code = state});
}

/* Names a thread. */
static __thread char this_thread;

static bool is_being_destroyed(struct ncr_pending *p, const struct event *event) {
    if (is_about(p, event->kind, event->handle))
        p->ender = &this_thread;
    return false;
}

/**
 * Before a communicator or window is destroyed: what ends with it is noted, since when it is gone another thread may be
 * making one at the same address.
 */
void ncr_pending_destroying(enum ncr_kind kind, const void *handle) {
    if (handle)
        happen(&(struct event){.ends = is_being_destroyed, .kind = kind, .handle = handle});
}

static bool is_destroyed(struct ncr_pending *p, const struct event *event) {
    if (p->ender != &this_thread)
        return false;
    p->ender = NULL;
    if (event->code != NCR_SUCCESS)
        return false;
    p->program = NULL;
    if (event->group)
        p->group = event->group; /* NCCL destroys it when the group ends */
    return !p->group;
}

/** It has been destroyed, if `code` says so; then NCCL has waited for what was in progress on it. */
void ncr_pending_destroyed(int code) {
    happen(&(struct event){.ends = is_destroyed, .group = ncr_group_of_thread(), .code = code});
}

static bool ends_with_group(struct ncr_pending *p, const struct event *event) {
    if (p->group != event->group || p->of.library != event->library)
        return false;
    p->group = NULL;
    return event->code != NCR_IN_PROGRESS;
}

/** A library's part of this thread's group has ended with `code`. */
void ncr_pending_group_ended(const void *group, const struct ncr_library *library, int code) {
    happen(&(struct event){.ends = ends_with_group, .group = group, .library = library, .code = code});
}

/** Deliver to the program the handles that have been written. Any thread. */
void ncr_pending_look(void) {
    happen(&(struct event){.ends = NULL});
}

/** Is it worth looking again soon? Under the lock. */
bool ncr_is_pending_locked(void) {
    bool pending = false;
    for (struct ncr_pending *p = pendings; p && !pending; p = p->next)
        pending = p->program && !is_complete(p) && (!p->reported || now() - p->reported <= PATIENCE_SECONDS);
    return pending;
}
