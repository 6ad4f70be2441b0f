/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring collectives of NCCL, here as direct exchanges: AllReduce, Reduce, Broadcast, ReduceScatter, AllGather.
 *
 * A reduction has one owner per element: it starts with its own contribution and adds those of ranks 0, 1, … in that
 * order. That is why every rank gets the same bits, and why in-place calls need no second buffer: an owner overwrites
 * only the elements that nobody else reads from it.
 */
#include "backend.h"

ncclResult_t operation_check(const char *function, ncclComm_t comm, ncclDataType_t type, int root, size_t count) {
    ncclResult_t result = comm_check(comm, function);
    if (result != ncclSuccess)
        return result;
    if (type_size(type) == 0)
        return fail(ncclInvalidArgument, "%s: invalid type %d", function, (int)type);
    if (root < 0 || root >= comm->nranks)
        return fail(ncclInvalidArgument, "%s: invalid rank %d of %d", function, root, comm->nranks);
    if (count > SIZE_MAX / type_size(type) / (size_t)comm->nranks)
        return fail(ncclInvalidArgument, "%s: %zu elements do not fit the address space", function, count);
    return ncclSuccess;
}

/* One rank's steps of one collective, while they are queued. After a failure no more are added. */
struct plan {
    ncclComm_t comm;
    ncclDataType_t type;
    const struct reduction *how; /* NULL: the steps only move data */
    ncclResult_t result;
};

static void add(struct plan *plan, enum step_kind kind, int peer, const void *from, void *to, size_t bytes) {
    struct step step = {.kind = kind, .peer = peer, .type = plan->type, .from = from, .to = to, .bytes = bytes};
    if (plan->how) {
        step.how = *plan->how;
        step.how_set = true;
    }
    if (plan->result == ncclSuccess)
        plan->result = engine_add(plan->comm, COLLECTIVE, &step);
}

/* NULL stays NULL, so that engine_add can refuse it. */
static const void *source_at(const void *buffer, size_t offset) {
    return buffer ? (const char *)buffer + offset : NULL;
}

static void *target_at(void *buffer, size_t offset) {
    return buffer ? (char *)buffer + offset : NULL;
}

/* Bytes before the part of `rank` when `count` elements are dealt out as evenly as whole elements allow. */
static size_t part_offset(const struct plan *plan, size_t count, int rank) {
    size_t ranks = (size_t)plan->comm->nranks, part = count / ranks, rest = count % ranks, before = (size_t)rank;
    return (before * part + (before < rest ? before : rest)) * type_size(plan->type);
}

static size_t part_bytes(const struct plan *plan, size_t count, int rank) {
    return part_offset(plan, count, rank + 1) - part_offset(plan, count, rank);
}

static ncclResult_t plan_all_reduce(struct plan *plan, const void *sendbuff, void *recvbuff, size_t count) {
    int nranks = plan->comm->nranks, rank = plan->comm->rank;
    size_t my_offset = part_offset(plan, count, rank), my_bytes = part_bytes(plan, count, rank);
    void *mine = target_at(recvbuff, my_offset);

    /* Each rank reduces its part … */
    add(plan, STEP_OWN, rank, source_at(sendbuff, my_offset), mine, my_bytes);
    for (int peer = 0; peer < nranks; peer++) {
        size_t offset = part_offset(plan, count, peer);
        if (peer == rank)
            continue;
        add(plan, STEP_SEND, peer, source_at(sendbuff, offset), NULL, part_bytes(plan, count, peer));
        add(plan, STEP_REDUCE, peer, NULL, mine, my_bytes);
    }
    add(plan, STEP_FINISH, rank, NULL, mine, my_bytes);

    /* … and hands it to the others. In place this overwrites only parts whose owner has received them already. */
    plan->how = NULL;
    for (int peer = 0; peer < nranks; peer++) {
        size_t offset = part_offset(plan, count, peer);
        if (peer == rank)
            continue;
        add(plan, STEP_SEND, peer, mine, NULL, my_bytes);
        add(plan, STEP_RECV, peer, NULL, target_at(recvbuff, offset), part_bytes(plan, count, peer));
    }
    return plan->result;
}

ncclResult_t hostmem_ncclAllReduce(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t type,
                                   ncclRedOp_t op, ncclComm_t comm, hostmem_stream_t stream) {
    struct reduction how;
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclAllReduce", comm, type, 0, count);
    if (result == ncclSuccess)
        result = redop_resolve(comm, op, type, &how);
    if (result == ncclSuccess)
        result = plan_all_reduce(&(struct plan){comm, type, &how, ncclSuccess}, sendbuff, recvbuff, count);
    return group_leave(result);
}

static ncclResult_t plan_reduce(struct plan *plan, const void *sendbuff, void *recvbuff, size_t bytes, int root) {
    int rank = plan->comm->rank;
    if (rank != root) {
        add(plan, STEP_SEND, root, sendbuff, NULL, bytes);
        return plan->result;
    }
    add(plan, STEP_OWN, rank, sendbuff, recvbuff, bytes);
    for (int peer = 0; peer < plan->comm->nranks; peer++)
        if (peer != rank)
            add(plan, STEP_REDUCE, peer, NULL, recvbuff, bytes);
    add(plan, STEP_FINISH, rank, NULL, recvbuff, bytes);
    return plan->result;
}

ncclResult_t hostmem_ncclReduce(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                int root, ncclComm_t comm, hostmem_stream_t stream) {
    struct reduction how;
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclReduce", comm, type, root, count);
    if (result == ncclSuccess)
        result = redop_resolve(comm, op, type, &how);
    if (result == ncclSuccess)
        result = plan_reduce(&(struct plan){comm, type, &how, ncclSuccess}, sendbuff, recvbuff, count * type_size(type),
                             root);
    return group_leave(result);
}

/* `bytes` are of one rank's block. */
static ncclResult_t plan_reduce_scatter(struct plan *plan, const void *sendbuff, void *recvbuff, size_t bytes) {
    int nranks = plan->comm->nranks, rank = plan->comm->rank;
    add(plan, STEP_OWN, rank, source_at(sendbuff, (size_t)rank * bytes), recvbuff, bytes);
    for (int peer = 0; peer < nranks; peer++) {
        if (peer == rank)
            continue;
        add(plan, STEP_SEND, peer, source_at(sendbuff, (size_t)peer * bytes), NULL, bytes);
        add(plan, STEP_REDUCE, peer, NULL, recvbuff, bytes);
    }
    add(plan, STEP_FINISH, rank, NULL, recvbuff, bytes);
    return plan->result;
}

ncclResult_t hostmem_ncclReduceScatter(const void *sendbuff, void *recvbuff, size_t recvcount, ncclDataType_t type,
                                       ncclRedOp_t op, ncclComm_t comm, hostmem_stream_t stream) {
    struct reduction how;
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclReduceScatter", comm, type, 0, recvcount);
    if (result == ncclSuccess)
        result = redop_resolve(comm, op, type, &how);
    if (result == ncclSuccess)
        result = plan_reduce_scatter(&(struct plan){comm, type, &how, ncclSuccess}, sendbuff, recvbuff,
                                     recvcount * type_size(type));
    return group_leave(result);
}

static ncclResult_t plan_broadcast(struct plan *plan, const void *sendbuff, void *recvbuff, size_t bytes, int root) {
    if (plan->comm->rank != root) {
        add(plan, STEP_RECV, root, NULL, recvbuff, bytes);
        return plan->result;
    }
    add(plan, STEP_OWN, root, sendbuff, recvbuff, bytes);
    for (int peer = 0; peer < plan->comm->nranks; peer++)
        if (peer != root)
            add(plan, STEP_SEND, peer, sendbuff, NULL, bytes);
    return plan->result;
}

ncclResult_t hostmem_ncclBroadcast(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t type, int root,
                                   ncclComm_t comm, hostmem_stream_t stream) {
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclBroadcast", comm, type, root, count);
    if (result == ncclSuccess)
        result = plan_broadcast(&(struct plan){comm, type, NULL, ncclSuccess}, sendbuff, recvbuff,
                                count * type_size(type), root);
    return group_leave(result);
}

ncclResult_t hostmem_ncclBcast(void *buff, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                               hostmem_stream_t stream) {
    return hostmem_ncclBroadcast(buff, buff, count, type, root, comm, stream);
}

/* `bytes` are of one rank's block. */
static ncclResult_t plan_all_gather(struct plan *plan, const void *sendbuff, void *recvbuff, size_t bytes) {
    int nranks = plan->comm->nranks, rank = plan->comm->rank;
    add(plan, STEP_OWN, rank, sendbuff, target_at(recvbuff, (size_t)rank * bytes), bytes);
    for (int peer = 0; peer < nranks; peer++) {
        if (peer == rank)
            continue;
        add(plan, STEP_SEND, peer, sendbuff, NULL, bytes);
        add(plan, STEP_RECV, peer, NULL, target_at(recvbuff, (size_t)peer * bytes), bytes);
    }
    return plan->result;
}

ncclResult_t hostmem_ncclAllGather(const void *sendbuff, void *recvbuff, size_t sendcount, ncclDataType_t type,
                                   ncclComm_t comm, hostmem_stream_t stream) {
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclAllGather", comm, type, 0, sendcount);
    if (result == ncclSuccess)
        result = plan_all_gather(&(struct plan){comm, type, NULL, ncclSuccess}, sendbuff, recvbuff,
                                 sendcount * type_size(type));
    return group_leave(result);
}
