/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators: their life and what can be asked of them. */
#include "backend.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const uint32_t COMM_MAGIC = 0x686d656d;

/* HOSTMEM_TIMEOUT_S in seconds; what is no positive number counts as unset. */
static double timeout_setting(void) {
    const char *text = getenv("HOSTMEM_TIMEOUT_S");
    double timeout = text ? strtod(text, NULL) : 0;
    return timeout > 0 && timeout < 1e6 ? timeout : 60;
}

static void print_version(void) {
    static const char *const levels[] = {"VERSION", "WARN", "INFO", "ABORT", "TRACE"};
    const char *level = getenv("NCCL_DEBUG");
    for (size_t i = 0; level && i < sizeof levels / sizeof *levels; i++)
        if (strcasecmp(level, levels[i]) == 0) {
            printf("%s\n", hostmem_version_text);
            fflush(stdout);
        }
}

ncclResult_t comm_create(ncclComm_t *result, const char *path, int nranks, int rank, int device, bool blocking) {
    static pthread_once_t version_once = PTHREAD_ONCE_INIT;
    if (nranks < 1 || rank < 0 || rank >= nranks)
        return fail(ncclInvalidArgument, "invalid rank %d of %d ranks", rank, nranks);
    if (nranks > MAX_RANKS)
        return fail(ncclInvalidArgument, "%d ranks: over host memory there can be %d", nranks, MAX_RANKS);
    pthread_once(&version_once, print_version);
#ifdef HOSTMEM_FAIL_INIT
    return fail(ncclUnhandledCudaError, "this backend was built to fail (HOSTMEM_FAIL_INIT)");
#endif
    ncclComm_t comm = calloc(1, sizeof *comm);
    bool *busy = calloc(2 * (size_t)nranks, sizeof *busy);
    if (!comm || !busy) {
        free(comm);
        free(busy);
        return fail(ncclSystemError, "out of memory for a communicator of %d ranks", nranks);
    }
    comm->magic = COMM_MAGIC;
    comm->nranks = nranks;
    comm->rank = rank;
    comm->device = device;
    comm->blocking = blocking;
    comm->busy = busy;
    comm->timeout = timeout_setting();
    comm->deadline = seconds_now() + comm->timeout;
    snprintf(comm->path, sizeof comm->path, "%s", path);
    ncclResult_t code = segment_attach(comm->path, nranks, rank, &comm->segment);
    if (code != ncclSuccess) {
        comm_free(comm);
        return code;
    }
    __atomic_store_n(result, comm, __ATOMIC_RELEASE); /* other threads may look at the program's variable */
    return ncclSuccess;
}

/* The end of a creation: waits for the other ranks, or, if the communicator is non-blocking, only looks for them. */
ncclResult_t comm_join(ncclComm_t comm) {
    if (atomic_load(&comm->joined))
        return ncclSuccess;
    if (segment_wait_ready(comm->segment, comm->blocking ? comm->timeout : 0)) {
        atomic_store(&comm->joined, 1);
        return ncclSuccess;
    }
    if (!comm->blocking && seconds_now() < comm->deadline)
        return ncclInProgress;
    return comm_break(comm, fail(ncclSystemError, "rank %d waited %g s for the other ranks: %u of %d came", comm->rank,
                                 comm->timeout, (unsigned)atomic_load(&comm->segment->attached), comm->nranks));
}

ncclResult_t comm_check(ncclComm_t comm, const char *function) {
    if (!comm)
        return fail(ncclInvalidArgument, "%s: the communicator is NULL", function);
    if (comm->magic != COMM_MAGIC)
        return fail(ncclInvalidArgument, "%s: the communicator is corrupt, or was destroyed", function);
    if (background_is_other(comm))
        return fail(ncclInvalidArgument, "%s: an operation is still in progress on the communicator", function);
    ncclResult_t error = (ncclResult_t)atomic_load(&comm->error);
    if (error != ncclSuccess)
        return fail(error, "%s: the communicator failed before: %s", function, hostmem_ncclGetErrorString(error));
    if (comm->finalized)
        return fail(ncclInvalidArgument, "%s: the communicator was finalized", function);
    if (!atomic_load(&comm->joined) && !atomic_load(&comm->segment->ready))
        return fail(ncclInvalidArgument, "%s: the communicator is still being created", function);
    return ncclSuccess;
}

ncclResult_t comm_break(ncclComm_t comm, ncclResult_t result) {
    uint32_t none = ncclSuccess;
    atomic_compare_exchange_strong(&comm->error, &none, (uint32_t)result);
    segment_abort(comm->segment, comm->nranks, comm->rank);
    return result;
}

void comm_free(ncclComm_t comm) {
    if (!comm)
        return;
    if (comm->segment)
        segment_detach(comm->segment, comm->path, comm->nranks);
    engine_drop(comm);
    for (int channel = 0; channel < CHANNELS; channel++)
        free(comm->queues[channel].steps);
    free(comm->premuls);
    free(comm->busy);
    comm->magic = 0;
    free(comm);
}

/* Nothing is left to flush: each operation is complete when its call has returned. */
ncclResult_t hostmem_ncclCommFinalize(ncclComm_t comm) {
    ncclResult_t result = comm_check(comm, "ncclCommFinalize");
    if (result == ncclSuccess)
        comm->finalized = true;
    return result;
}

/* Does not wait for other ranks: what they still have to receive stays in their own mapping of the memory. */
ncclResult_t hostmem_ncclCommDestroy(ncclComm_t comm) {
    if (!comm)
        return ncclSuccess;
    if (comm->magic != COMM_MAGIC)
        return fail(ncclInvalidArgument, "ncclCommDestroy: the communicator is corrupt, or was destroyed");
    if (atomic_load(&comm->users) > 0)
        return fail(ncclInvalidUsage, "ncclCommDestroy: the communicator is used by a group that has not ended");
    background_wait(comm);
    comm_free(comm);
    return ncclSuccess;
}

/* Also while another thread is inside a call on the communicator: that call returns ncclRemoteError first. */
ncclResult_t hostmem_ncclCommAbort(ncclComm_t comm) {
    static const struct timespec one_millisecond = {.tv_nsec = 1000000};
    if (!comm)
        return ncclSuccess;
    if (comm->magic != COMM_MAGIC)
        return fail(ncclInvalidArgument, "ncclCommAbort: the communicator is corrupt, or was destroyed");
    comm_break(comm, ncclRemoteError);
    group_forget(comm);
    background_wait(comm);
    while (atomic_load(&comm->users) > 0)
        nanosleep(&one_millisecond, NULL);
    return hostmem_ncclCommDestroy(comm);
}

ncclResult_t hostmem_ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error) {
    if (!comm || comm->magic != COMM_MAGIC || !error)
        return fail(ncclInvalidArgument, "ncclCommGetAsyncError: the communicator or the result is NULL");
    *error = background_is_other(comm) ? ncclInProgress : (ncclResult_t)atomic_load(&comm->error);
    if (*error == ncclSuccess && !comm->blocking)
        *error = comm_join(comm);
    return ncclSuccess;
}

static ncclResult_t answer(ncclComm_t comm, const char *function, int value, int *result) {
    ncclResult_t code = comm_check(comm, function);
    if (code != ncclSuccess)
        return code;
    if (!result)
        return fail(ncclInvalidArgument, "%s: the result is NULL", function);
    *result = value;
    return ncclSuccess;
}

ncclResult_t hostmem_ncclCommCount(ncclComm_t comm, int *count) {
    return answer(comm, "ncclCommCount", comm ? comm->nranks : 0, count);
}

/* The number of ncclCommInitAll's list; otherwise the rank, since there is no current device. */
ncclResult_t hostmem_ncclCommCuDevice(ncclComm_t comm, int *device) {
    return answer(comm, "ncclCommCuDevice", comm ? comm->device : 0, device);
}

ncclResult_t hostmem_ncclCommUserRank(ncclComm_t comm, int *rank) {
    return answer(comm, "ncclCommUserRank", comm ? comm->rank : 0, rank);
}
