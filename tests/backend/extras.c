/* SPDX-License-Identifier: Apache-2.0 */
/* The functions around the operations that have a trivial meaning over host memory. */
#include "backend.h"

#include <stdlib.h>

/* Aligned to a page, since windows ask for that. */
ncclResult_t hostmem_ncclMemAlloc(void **pointer, size_t size) {
    if (!pointer || size == 0)
        return fail(ncclInvalidArgument, "ncclMemAlloc: the result is NULL, or the size is 0");
    if (posix_memalign(pointer, 4096, size) != 0)
        return fail(ncclSystemError, "ncclMemAlloc: no %zu bytes", size);
    return ncclSuccess;
}

ncclResult_t hostmem_ncclMemFree(void *pointer) {
    free(pointer);
    return ncclSuccess;
}

/* Registration gains nothing here. A NULL handle is NCCL's own way to say so. */
ncclResult_t hostmem_ncclCommRegister(ncclComm_t comm, void *buffer, size_t size, void **handle) {
    ncclResult_t result = comm_check(comm, "ncclCommRegister");
    if (result == ncclSuccess && (!buffer || size == 0 || !handle))
        result = fail(ncclInvalidArgument, "ncclCommRegister: buffer or handle is NULL, or the size is 0");
    if (result == ncclSuccess)
        *handle = NULL;
    return result;
}

ncclResult_t hostmem_ncclCommDeregister(ncclComm_t comm, void *handle) {
    (void)handle;
    return comm_check(comm, "ncclCommDeregister");
}

ncclResult_t hostmem_ncclCommWindowRegister(ncclComm_t comm, void *buffer, size_t size, ncclWindow_t *window,
                                            int flags) {
    (void)flags;
    ncclResult_t result = comm_check(comm, "ncclCommWindowRegister");
    if (result == ncclSuccess && (!buffer || size == 0 || !window))
        result = fail(ncclInvalidArgument, "ncclCommWindowRegister: buffer or window is NULL, or the size is 0");
    if (result == ncclSuccess)
        *window = NULL;
    return result;
}

ncclResult_t hostmem_ncclCommWindowDeregister(ncclComm_t comm, ncclWindow_t window) {
    (void)window;
    return comm_check(comm, "ncclCommWindowDeregister");
}

ncclResult_t hostmem_ncclWinGetUserPtr(ncclComm_t comm, ncclWindow_t window, void **pointer) {
    (void)window;
    ncclResult_t result = comm_check(comm, "ncclWinGetUserPtr");
    if (result == ncclSuccess && !pointer)
        result = fail(ncclInvalidArgument, "ncclWinGetUserPtr: the result is NULL");
    if (result == ncclSuccess)
        *pointer = NULL;
    return result;
}

ncclTeam_t hostmem_ncclTeamWorld(ncclComm_t comm) {
    if (comm_check(comm, "ncclTeamWorld") != ncclSuccess)
        return (ncclTeam_t){0, 0, 0};
    return (ncclTeam_t){comm->nranks, comm->rank, 1};
}

int hostmem_ncclTeamRankToWorld(ncclComm_t comm, ncclTeam_t team, int rank) {
    if (comm_check(comm, "ncclTeamRankToWorld") != ncclSuccess)
        return -1;
    return comm->rank + (rank - team.rank) * team.stride;
}

/* There are four statistics, all of GPU memory. */
ncclResult_t hostmem_ncclCommMemStats(ncclComm_t comm, int statistic, uint64_t *value) {
    ncclResult_t result = comm_check(comm, "ncclCommMemStats");
    if (result == ncclSuccess && (statistic < 0 || statistic > 3 || !value))
        result = fail(ncclInvalidArgument, "ncclCommMemStats: invalid statistic %d, or the result is NULL", statistic);
    if (result == ncclSuccess)
        *value = 0;
    return result;
}

/* Nothing of NCCL_DEBUG is kept that could be read anew. */
void hostmem_ncclResetDebugInit(void) {
}
void hostmem_ncclResetDebugInitInternal(void) {
}

#ifdef HOSTMEM_EXTRA
/* A function of an NCCL that is newer than the ABI table; the answer shows that a caller reached this library. */
__attribute__((visibility("default"))) ncclResult_t ncclHostmemFuture(int *answer) {
    if (!answer)
        return fail(ncclInvalidArgument, "ncclHostmemFuture: the result is NULL");
    *answer = 42;
    return ncclSuccess;
}
#endif
