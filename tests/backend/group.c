/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups. Inside of a group calls only queue what is to be done; the outermost end runs the data steps of all
 * communicators together, then makes and joins new communicators. An error of any call spoils its group: nothing of it
 * runs.
 */
#include "backend.h"

#include <stdlib.h>
#include <time.h>

/* A communicator that this group creates. */
struct pending {
    struct pending *next;
    ncclComm_t comm;     /* NULL until the split is known */
    struct split *split; /* NULL unless from ncclCommSplit */
    ncclComm_t *newcomm;
};

/* The group of the calling thread; empty while depth is 0. */
static _Thread_local struct group {
    int depth;
    ncclResult_t error; /* the first of this group */
    ncclComm_t comms;   /* with steps, linked by next_in_group */
    struct pending *pending;
} group;

void group_enter(void) {
    group.depth++;
}

void group_add(ncclComm_t comm) {
    for (ncclComm_t other = group.comms; other; other = other->next_in_group)
        if (other == comm)
            return;
    atomic_fetch_add(&comm->users, 1);
    comm->next_in_group = group.comms;
    group.comms = comm;
}

void group_forget(ncclComm_t comm) {
    for (ncclComm_t *link = &group.comms; *link; link = &(*link)->next_in_group) {
        if (*link != comm)
            continue;
        *link = comm->next_in_group;
        engine_drop(comm);
        atomic_fetch_sub(&comm->users, 1);
        return;
    }
}

static ncclResult_t add_pending(struct pending entry) {
    struct pending *pending = malloc(sizeof *pending);
    if (!pending)
        return fail(ncclSystemError, "out of memory for a communicator");
    *pending = entry;
    pending->next = group.pending;
    group.pending = pending;
    return ncclSuccess;
}

ncclResult_t group_add_join(ncclComm_t comm, ncclComm_t *newcomm) {
    return add_pending((struct pending){.comm = comm, .newcomm = newcomm});
}

ncclResult_t group_add_split(struct split *split, ncclComm_t *newcomm) {
    return add_pending((struct pending){.split = split, .newcomm = newcomm});
}

/* Writes handles by plain stores, as NCCL does, while the program may look: no race that ThreadSanitizer should tell. */
static ncclResult_t create_pending(void) __attribute__((no_sanitize("thread")));

/* All are attached before the first is waited for: one thread may hold several ranks of a new communicator. */
static ncclResult_t create_pending(void) {
    ncclResult_t result = ncclSuccess;
    bool in_progress = false;
    for (struct pending *entry = group.pending; entry && result == ncclSuccess; entry = entry->next) {
        if (entry->split)
            result = split_finish(entry->split, &entry->comm);
        if (result == ncclSuccess)
            *entry->newcomm = entry->comm;
    }
    for (struct pending *entry = group.pending; entry && result == ncclSuccess; entry = entry->next) {
        if (entry->comm)
            result = comm_join(entry->comm);
        if (result == ncclInProgress) {
            in_progress = true;
            result = ncclSuccess;
        }
    }
    return result == ncclSuccess && in_progress ? ncclInProgress : result;
}

static void clear(bool failed) {
    while (group.pending) {
        struct pending *entry = group.pending;
        group.pending = entry->next;
        if (failed) {
            if (entry->comm)
                comm_break(entry->comm, ncclRemoteError);
            comm_free(entry->comm);
            *entry->newcomm = NULL;
        }
        split_free(entry->split);
        free(entry);
    }
    while (group.comms)
        group_forget(group.comms);
    group.error = ncclSuccess;
}

ncclResult_t group_leave(ncclResult_t result) {
    if (result != ncclSuccess && group.error == ncclSuccess)
        group.error = result;
    if (--group.depth > 0)
        return result;
    result = group.error;
#ifdef HOSTMEM_SLOWER_US
    nanosleep(&(struct timespec){.tv_nsec = HOSTMEM_SLOWER_US * 1000L}, NULL);
#endif
    if (result == ncclSuccess)
        result = engine_run(group.comms);
    if (result == ncclSuccess)
        result = create_pending();
    clear(result != ncclSuccess && result != ncclInProgress);
    return result;
}

bool group_is_open(void) {
    return group.depth > 0;
}

ncclResult_t hostmem_ncclGroupStart(void) {
    group_enter();
    return ncclSuccess;
}

ncclResult_t hostmem_ncclGroupEnd(void) {
    if (group.depth == 0)
        return fail(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
    return group_leave(ncclSuccess);
}

/* Ends the group without running it. Moving host memory has no estimate: the time is 0. */
ncclResult_t hostmem_ncclGroupSimulateEnd(ncclSimInfo_t *info) {
    if (group.depth == 0)
        return fail(ncclInvalidUsage, "ncclGroupSimulateEnd without ncclGroupStart");
    ncclResult_t result = ncclSuccess;
    if (info && (info->size < sizeof *info || info->magic != NCCL_SIM_INFO_MAGIC))
        result = fail(ncclInvalidArgument, "ncclSimInfo_t was not initialised with NCCL_SIM_INFO_INITIALIZER");
    else if (info)
        info->estimatedTime = 0;
    if (--group.depth > 0)
        return result;
    if (result == ncclSuccess)
        result = group.error;
    clear(true);
    return result;
}
