/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Communicators made from communicators. A child's shared memory has a name that every member can work out from the
 * parent's name and from what makes the child unique within the parent.
 */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a rank says when a communicator is split. */
struct choice {
    int color, key;
};

struct split {
    ncclComm_t parent;
    unsigned number; /* of this split among those of the parent */
    bool blocking;
    struct choice choices[]; /* of each rank; complete when the steps of the parent have run */
};

/* A hash (FNV-1a) keeps names short, however deep communicators are nested. */
static uint64_t hash(uint64_t value, const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        value = (value ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3ULL;
    return value;
}

static void child_path(const char *parent, const void *mark, size_t size, char path[PATH_BYTES]) {
    int folder = (int)(strrchr(parent, '/') - parent);
    uint64_t name = hash(hash(0xcbf29ce484222325ULL, parent, strlen(parent)), mark, size);
    snprintf(path, PATH_BYTES, "%.*s/nccl-hostmem-%016llx", folder, parent, (unsigned long long)name);
}

/*
 * The choices of all ranks are gathered by ordinary steps, so that splits and collectives of a group keep their order.
 */
static ncclResult_t add_gather_of_choices(struct split *split) {
    ncclComm_t comm = split->parent;
    ncclResult_t result = ncclSuccess;
    struct choice *choices = split->choices;
    for (int peer = 0; peer < comm->nranks && result == ncclSuccess; peer++) {
        if (peer == comm->rank)
            continue;
        struct step send = {.kind = STEP_SEND, .peer = peer, .type = ncclInt8, .bytes = sizeof *choices};
        struct step recv = {.kind = STEP_RECV, .peer = peer, .type = ncclInt8, .bytes = sizeof *choices};
        send.from = (const unsigned char *)&choices[comm->rank];
        recv.to = (unsigned char *)&choices[peer];
        result = engine_add(comm, COLLECTIVE, &send);
        if (result == ncclSuccess)
            result = engine_add(comm, COLLECTIVE, &recv);
    }
    return result;
}

static ncclResult_t split_start(ncclComm_t comm, int color, int key, ncclComm_t *newcomm, const ncclConfig_t *config) {
    ncclResult_t result = comm_check(comm, "ncclCommSplit");
    if (result != ncclSuccess)
        return result;
    if (!newcomm)
        return fail(ncclInvalidArgument, "ncclCommSplit: the new communicator has nowhere to go: NULL");
    __atomic_store_n(newcomm, NULL, __ATOMIC_RELEASE);
    bool blocking = comm->blocking;
    result = config_read(config, &blocking);
    if (result != ncclSuccess)
        return result;
    struct split *split = malloc(sizeof *split + (size_t)comm->nranks * sizeof *split->choices);
    if (!split)
        return fail(ncclSystemError, "out of memory to split %d ranks", comm->nranks);
    split->parent = comm;
    split->number = comm->splits++;
    split->blocking = blocking;
    split->choices[comm->rank] = (struct choice){color, key};
    result = group_add_split(split, newcomm);
    if (result != ncclSuccess) {
        split_free(split);
        return result;
    }
    return add_gather_of_choices(split);
}

ncclResult_t split_now(ncclComm_t comm, int color, int key, ncclComm_t *newcomm, const ncclConfig_t *config) {
    group_enter();
    return group_leave(split_start(comm, color, key, newcomm, config));
}

ncclResult_t hostmem_ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t *newcomm, ncclConfig_t *config) {
    ncclResult_t result = comm_check(comm, "ncclCommSplit");
    if (result == ncclSuccess && newcomm && !comm->blocking && !group_is_open())
        return background_split(comm, color, key, newcomm, config);
    return split_now(comm, color, key, newcomm, config);
}

ncclResult_t split_finish(struct split *split, ncclComm_t *child) {
    ncclComm_t parent = split->parent;
    struct choice mine = split->choices[parent->rank];
    int members = 0, before_me = 0;
    *child = NULL;
    if (mine.color < 0)
        return ncclSuccess;
    for (int rank = 0; rank < parent->nranks; rank++) {
        struct choice other = split->choices[rank];
        if (other.color != mine.color)
            continue;
        members++;
        before_me += other.key < mine.key || (other.key == mine.key && rank < parent->rank);
    }
    char path[PATH_BYTES];
    const unsigned mark[] = {split->number, (unsigned)mine.color};
    child_path(parent->path, mark, sizeof mark, path);
    return comm_create(child, path, members, before_me, parent->device, split->blocking);
}

void split_free(struct split *split) {
    free(split);
}

static bool listed(int rank, const int *list, int count) {
    for (int i = 0; i < count; i++)
        if (list[i] == rank)
            return true;
    return false;
}

/*
 * The excluded ranks do not call: each of the others works out the new ranks alone. The list, as a set, is what makes
 * the child unique; a second child of the same set is possible once the first is complete.
 */
static ncclResult_t shrink(ncclComm_t comm, const int *excluded, int count, ncclComm_t *newcomm, bool blocking) {
    char path[PATH_BYTES];
    bool stays[MAX_RANKS] = {false};
    int members = 0, before_me = 0;
    for (int rank = 0; rank < comm->nranks; rank++) {
        stays[rank] = !listed(rank, excluded, count);
        members += stays[rank];
        before_me += stays[rank] && rank < comm->rank;
    }
    child_path(comm->path, stays, (size_t)comm->nranks * sizeof *stays, path);
    ncclResult_t result = comm_create(newcomm, path, members, before_me, comm->device, blocking);
    return result == ncclSuccess ? group_add_join(*newcomm, newcomm) : result;
}

static ncclResult_t shrink_check(ncclComm_t comm, const int *excluded, int count, ncclComm_t *newcomm, int flags) {
    if (!comm)
        return fail(ncclInvalidArgument, "ncclCommShrink: the communicator is NULL");
    if (!excluded || count < 1 || !newcomm || flags < 0 || flags > 1)
        return fail(ncclInvalidArgument, "ncclCommShrink: an argument is NULL, or count %d or flags %d are invalid",
                    count, flags);
    for (int i = 0; i < count; i++)
        if (excluded[i] < 0 || excluded[i] >= comm->nranks || excluded[i] == comm->rank)
            return fail(ncclInvalidArgument, "ncclCommShrink: rank %d of %d cannot exclude rank %d", comm->rank,
                        comm->nranks, excluded[i]);
    return ncclSuccess;
}

/* With NCCL_SHRINK_ABORT (1) the parent may have failed before; that is what the flag is for. */
ncclResult_t hostmem_ncclCommShrink(ncclComm_t comm, int *excluded, int count, ncclComm_t *newcomm,
                                    ncclConfig_t *config, int flags) {
    group_enter();
    ncclResult_t result = shrink_check(comm, excluded, count, newcomm, flags);
    bool blocking = comm && comm->blocking;
    if (result == ncclSuccess)
        __atomic_store_n(newcomm, NULL, __ATOMIC_RELEASE);
    if (result == ncclSuccess && flags == 0)
        result = comm_check(comm, "ncclCommShrink");
    if (result == ncclSuccess)
        result = config_read(config, &blocking);
    if (result == ncclSuccess)
        result = shrink(comm, excluded, count, newcomm, blocking);
    return group_leave(result);
}
