/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that make communicators: what identifies the new one on all ranks is written down before the call, so that a
 * reader sees who is still inside; its handle, rank and size when it is there.
 */
#include "recorder.h"

#include <string.h>

enum { SEED_INIT = 1, SEED_ALL, SEED_SPLIT, SEED_SHRINK, SEED_GROW };

/* ---- the end of a communicator ---- */

/** After a call that ends a communicator, whose handle was forgotten before it. */
void ncr_record_end_comm(int row, const void *handle, unsigned function, int result) {
    if (row == TRACE_NO_COMM)
        return;
    struct trace_comm *comm = &ncr_recorder.comms[row];
    if (result != NCR_SUCCESS && result != NCR_IN_PROGRESS) {
        ncr_record_bind_handle(row, handle);
        return;
    }
    comm->ended = ncr_record_ticks();
    comm->ending = function == TRACE_ncclCommAbort      ? TRACE_ABORTED
                   : function == TRACE_ncclCommRevoke   ? TRACE_REVOKED
                   : function == TRACE_ncclCommFinalize ? TRACE_FINALIZED
                                                        : TRACE_DESTROYED;
}

/* ---- what identifies a new communicator ---- */

/* A field that the program's configuration is too short for, or whose header did not have it, is not there. */
static void take_config(struct trace_comm *comm, const void *config) {
    struct ncr_versioned head;
    int blocking = 1;
    const char *name = NULL;
    if (config)
        memcpy(&head.size, config, sizeof head.size);
    if (!config || head.size < sizeof head)
        return;
    memcpy(&head, config, sizeof head);
    if (head.magic != NCR_MAGIC)
        return;
    if (NCR_CONFIG_HAS(head.size, blocking))
        memcpy(&blocking, (const char *)config + offsetof(struct ncr_nccl_config, blocking), sizeof blocking);
    if (NCR_CONFIG_HAS(head.size, commName) && head.version >= 22703)
        memcpy(&name, (const char *)config + offsetof(struct ncr_nccl_config, commName), sizeof name);
    if (blocking == 0)
        comm->flags |= TRACE_NONBLOCKING;
    if (name)
        memcpy(comm->name, name, strnlen(name, sizeof comm->name - 1));
}

static struct trace_comm new_comm(unsigned origin, uint64_t identity, int ranks, int rank, const void *config) {
    struct trace_comm comm = {.identity = identity,
                              .enter = ncr_record_ticks(),
                              .ranks = ranks,
                              .rank = rank,
                              .device = -1,
                              .origin = (uint16_t)origin};
    take_config(&comm, config);
    return comm;
}

/* Without a configuration of its own it has its parent's. */
static void inherit(struct trace_comm *comm, const struct trace_comm *parent, const void *config) {
    comm->parent = parent->identity;
    if (!config)
        comm->flags |= parent->flags & TRACE_NONBLOCKING;
}

static struct trace_comm *row_of(int row) {
    return row == TRACE_NO_COMM ? NULL : &ncr_recorder.comms[row];
}

/* Where the arguments of a creating call stand that are not the same for all. */
static uintptr_t argument(unsigned n, const uintptr_t *registers) {
    return registers[n]; /* none of them has more than six */
}

/* ncclCommInitRank(made, ranks, id, rank[, config]): the id is 16 words of the stack, or a pointer. */
static struct trace_comm by_id(unsigned function, const uintptr_t *registers, const uintptr_t *stack) {
#if defined(__x86_64__)
    const void *id = stack, *config = (const void *)registers[3];
    int rank = (int)registers[2];
#else
    const void *id = (const void *)registers[2], *config = (const void *)registers[4];
    int rank = (int)registers[3];
    (void)stack;
#endif
    return new_comm(TRACE_INIT, ncr_record_hash(SEED_INIT, id, sizeof(struct ncr_id)), (int)argument(1, registers),
                    rank, function == TRACE_ncclCommInitRankConfig ? config : NULL);
}

/* ncclCommInitRankScalable(made, ranks, rank, ids, list, config) */
static struct trace_comm by_ids(const uintptr_t *registers) {
    int ids = (int)argument(3, registers);
    const void *list = (const void *)argument(4, registers);
    size_t bytes = list && ids > 0 ? (size_t)ids * sizeof(struct ncr_id) : 0;
    return new_comm(TRACE_INIT, ncr_record_hash(SEED_INIT, list, bytes), (int)argument(1, registers),
                    (int)argument(2, registers), (const void *)argument(5, registers));
}

/* ncclCommInitAll(made, devices, list): all ranks are of this process. */
static void init_all(const uintptr_t *registers, struct ncr_creation *creation) {
    enum { MOST = sizeof creation->rows / sizeof *creation->rows };
    static _Atomic uint64_t ordinal;
    int devices = (int)argument(1, registers);
    const int *list = (const int *)argument(2, registers);
    const uint64_t own[] = {(uint64_t)ncr_recorder.header->pid, ncr_recorder.header->opened.real,
                            ncr_recorder.header->started, atomic_fetch_add(&ordinal, 1)};
    uint64_t identity = ncr_record_hash(SEED_ALL, own, sizeof own);
    for (int i = 0; i < devices && i < MOST; i++) {
        struct trace_comm comm = new_comm(TRACE_INIT_ALL, identity, devices, i, NULL);
        comm.device = list ? list[i] : i;
        creation->rows[creation->count++] = ncr_record_add_comm(&comm);
    }
}

/* ncclCommShrink(comm, excluded, count, made, config, flags) */
static struct trace_comm shrunk(struct trace_comm *parent, const uintptr_t *registers) {
    int count = (int)argument(2, registers);
    const uint64_t own[] = {parent->identity, ++parent->shrinks};
    int ranks = parent->ranks > count && count >= 0 ? parent->ranks - count : -1;
    return new_comm(TRACE_SHRINK, ncr_record_hash(SEED_SHRINK, own, sizeof own), ranks, -1,
                    (const void *)argument(4, registers));
}

/*
 * ncclCommGrow(comm, ranks, id, rank, made, config): new ranks know the id, old ones the parent, and the root of the old
 * ones both.
 */
static struct trace_comm grown(struct trace_comm *parent, const uintptr_t *registers) {
    const void *id = (const void *)argument(2, registers);
    const uint64_t own[] = {parent ? parent->identity : 0, parent ? ++parent->grows : 0};
    uint64_t by_parent = parent ? ncr_record_hash(SEED_GROW, own, sizeof own) : 0;
    uint64_t by_its_id = id ? ncr_record_hash(SEED_INIT, id, sizeof(struct ncr_id)) : 0;
    struct trace_comm comm = new_comm(TRACE_GROW, by_its_id ? by_its_id : by_parent, (int)argument(1, registers),
                                      parent ? -1 : (int)argument(3, registers), (const void *)argument(5, registers));
    comm.alias = by_its_id ? by_parent : 0;
    return comm;
}

/** Before the record of a creating call is begun: the new communicator gets its row, so that the record can name it. */
void ncr_record_creating(unsigned function, const uintptr_t *registers, const uintptr_t *stack,
                         struct ncr_creation *creation, int parent_row) {
    bool from_parent = function == TRACE_ncclCommShrink || function == TRACE_ncclCommGrow;
    struct trace_comm *parent = from_parent ? row_of(parent_row) : NULL, comm = {0};
    creation->count = 0;
    ncr_record_look_at_pending();
    creation->where = (ncr_comm *)argument(function == TRACE_ncclCommSplit || function == TRACE_ncclCommShrink ? 3
                                           : function == TRACE_ncclCommGrow                                    ? 4
                                                                                                               : 0,
                                           registers);
    if (function == TRACE_ncclCommInitRank || function == TRACE_ncclCommInitRankConfig)
        comm = by_id(function, registers, stack);
    else if (function == TRACE_ncclCommInitRankScalable)
        comm = by_ids(registers);
    else if (function == TRACE_ncclCommInitAll)
        init_all(registers, creation);
    else if (function == TRACE_ncclCommShrink && parent)
        comm = shrunk(parent, registers);
    else if (function == TRACE_ncclCommGrow)
        comm = grown(parent, registers);
    else if (function == TRACE_ncclCommSplit)
        *creation = (struct ncr_creation){.where = creation->where,
                                          .color = (int)argument(1, registers),
                                          .key = (int)argument(2, registers),
                                          .config = (const void *)argument(4, registers)};
    if (parent)
        inherit(&comm, parent, (const void *)argument(function == TRACE_ncclCommShrink ? 4 : 5, registers));
    if (comm.identity)
        creation->rows[creation->count++] = ncr_record_add_comm(&comm);
}

/** A split is known by its number on the parent, which its record has got. A rank without a color gets nothing. */
void ncr_record_splitting(struct ncr_creation *creation, int parent_row) {
    struct trace_comm *parent = row_of(parent_row);
    if (!parent || creation->color < 0)
        return;
    const uint64_t own[] = {parent->identity, parent->collectives, (uint64_t)creation->color};
    struct trace_comm comm =
        new_comm(TRACE_SPLIT, ncr_record_hash(SEED_SPLIT, own, sizeof own), -1, -1, creation->config);
    inherit(&comm, parent, creation->config);
    comm.color = creation->color;
    comm.key = creation->key;
    creation->rows[creation->count++] = ncr_record_add_comm(&comm);
}

/** The creating call has returned. */
void ncr_record_created(const struct ncr_creation *creation, int result) {
    for (int i = 0; i < creation->count; i++)
        ncr_record_expect(creation->rows[i], creation->where ? creation->where + i : NULL, result);
}
