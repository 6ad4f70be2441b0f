/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Send and receive, and what NCCL itself builds from them: AlltoAll, Gather, Scatter, and RCCL's AllToAll(v). Steps
 * between different pairs run at the same time; several between the same pair match in the order of the calls. A rank
 * may send to itself.
 */
#include "backend.h"

#include <stdlib.h>
#include <string.h>

/* `scratch` is NULL or memory that is freed with the step. */
static ncclResult_t add_send(ncclComm_t comm, int peer, const void *from, size_t bytes, void *scratch) {
    struct step step = {
        .kind = STEP_SEND, .peer = peer, .type = ncclInt8, .from = from, .bytes = bytes, .scratch = scratch};
    return engine_add(comm, POINT_TO_POINT, &step);
}

static ncclResult_t add_recv(ncclComm_t comm, int peer, void *to, size_t bytes) {
    struct step step = {.kind = STEP_RECV, .peer = peer, .type = ncclInt8, .to = to, .bytes = bytes};
    return engine_add(comm, POINT_TO_POINT, &step);
}

ncclResult_t hostmem_ncclSend(const void *sendbuff, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                              hostmem_stream_t stream) {
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclSend", comm, type, peer, count);
    if (result == ncclSuccess)
        result = add_send(comm, peer, sendbuff, count * type_size(type), NULL);
    return group_leave(result);
}

ncclResult_t hostmem_ncclRecv(void *recvbuff, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                              hostmem_stream_t stream) {
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclRecv", comm, type, peer, count);
    if (result == ncclSuccess)
        result = add_recv(comm, peer, recvbuff, count * type_size(type));
    return group_leave(result);
}

/* What one rank exchanges with all: `counts[i]` elements at `displs[i]` elements for and from rank i. */
struct exchange {
    const size_t *send_counts, *send_displs, *recv_counts, *recv_displs;
};

static size_t send_extent(const struct exchange *exchange, int nranks) {
    size_t extent = 0;
    for (int peer = 0; peer < nranks; peer++) {
        size_t end = exchange->send_displs[peer] + exchange->send_counts[peer];
        extent = end > extent ? end : extent;
    }
    return extent;
}

/*
 * In place, what arrives would overwrite what has not been sent yet: a copy is sent instead. The last send owns it:
 * sends are dropped together.
 */
static ncclResult_t add_exchange(ncclComm_t comm, const void *sendbuff, void *recvbuff, size_t size,
                                 const struct exchange *exchange) {
    ncclResult_t result = ncclSuccess;
    size_t extent = send_extent(exchange, comm->nranks) * size;
    void *copy = NULL;
    if (sendbuff && sendbuff == recvbuff && extent > 0) {
        copy = malloc(extent);
        if (!copy)
            return fail(ncclSystemError, "out of memory for a copy of %zu bytes", extent);
        sendbuff = memcpy(copy, sendbuff, extent);
    }
    for (int peer = 0; peer < comm->nranks && result == ncclSuccess; peer++) {
        bool last = peer + 1 == comm->nranks;
        const char *from = sendbuff ? (const char *)sendbuff + exchange->send_displs[peer] * size : NULL;
        char *to = recvbuff ? (char *)recvbuff + exchange->recv_displs[peer] * size : NULL;
        result = add_recv(comm, peer, to, exchange->recv_counts[peer] * size);
        if (result == ncclSuccess)
            result = add_send(comm, peer, from, exchange->send_counts[peer] * size, last ? copy : NULL);
    }
    if (result != ncclSuccess)
        free(copy);
    return result;
}

ncclResult_t hostmem_ncclAllToAllv(const void *sendbuff, const size_t sendcounts[], const size_t sdispls[],
                                   void *recvbuff, const size_t recvcounts[], const size_t rdispls[],
                                   ncclDataType_t type, ncclComm_t comm, hostmem_stream_t stream) {
    struct exchange exchange = {sendcounts, sdispls, recvcounts, rdispls};
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclAllToAllv", comm, type, 0, 0);
    if (result == ncclSuccess && (!sendcounts || !sdispls || !recvcounts || !rdispls))
        result = fail(ncclInvalidArgument, "ncclAllToAllv: an array of counts or displacements is NULL");
    if (result == ncclSuccess)
        result = add_exchange(comm, sendbuff, recvbuff, type_size(type), &exchange);
    return group_leave(result);
}

static ncclResult_t all_to_all(ncclComm_t comm, const void *sendbuff, void *recvbuff, size_t count, size_t size) {
    size_t *counts = malloc(2 * (size_t)comm->nranks * sizeof *counts);
    if (!counts)
        return fail(ncclSystemError, "out of memory for the counts of %d ranks", comm->nranks);
    size_t *displs = counts + comm->nranks;
    for (int peer = 0; peer < comm->nranks; peer++) {
        counts[peer] = count;
        displs[peer] = (size_t)peer * count;
    }
    ncclResult_t result =
        add_exchange(comm, sendbuff, recvbuff, size, &(struct exchange){counts, displs, counts, displs});
    free(counts);
    return result;
}

ncclResult_t hostmem_ncclAlltoAll(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t type,
                                  ncclComm_t comm, hostmem_stream_t stream) {
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclAlltoAll", comm, type, 0, count);
    if (result == ncclSuccess)
        result = all_to_all(comm, sendbuff, recvbuff, count, type_size(type));
    return group_leave(result);
}

/* RCCL's name of the same. */
ncclResult_t hostmem_ncclAllToAll(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t type,
                                  ncclComm_t comm, hostmem_stream_t stream) {
    return hostmem_ncclAlltoAll(sendbuff, recvbuff, count, type, comm, stream);
}

ncclResult_t hostmem_ncclGather(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t type, int root,
                                ncclComm_t comm, hostmem_stream_t stream) {
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclGather", comm, type, root, count);
    size_t bytes = count * type_size(type);
    if (result == ncclSuccess)
        result = add_send(comm, root, sendbuff, bytes, NULL);
    if (result == ncclSuccess && comm->rank == root)
        for (int peer = 0; peer < comm->nranks && result == ncclSuccess; peer++)
            result = add_recv(comm, peer, recvbuff ? (char *)recvbuff + (size_t)peer * bytes : NULL, bytes);
    return group_leave(result);
}

ncclResult_t hostmem_ncclScatter(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t type, int root,
                                 ncclComm_t comm, hostmem_stream_t stream) {
    (void)stream;
    group_enter();
    ncclResult_t result = operation_check("ncclScatter", comm, type, root, count);
    size_t bytes = count * type_size(type);
    if (result == ncclSuccess && comm->rank == root)
        for (int peer = 0; peer < comm->nranks && result == ncclSuccess; peer++)
            result = add_send(comm, peer, sendbuff ? (const char *)sendbuff + (size_t)peer * bytes : NULL, bytes, NULL);
    if (result == ncclSuccess)
        result = add_recv(comm, root, recvbuff, bytes);
    return group_leave(result);
}
