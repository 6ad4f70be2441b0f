/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split of a non-blocking communicator, as NCCL does it: the call returns ncclSuccess with no handle, a thread splits
 * and writes the handle, and until then ncclCommGetAsyncError tells that the parent is in progress. Only outside of
 * groups. HOSTMEM_SPLIT_MS is how long the thread waits first; as if in that time the ranks met.
 */
#include "backend.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct work {
    ncclComm_t comm;
    int color, key;
    ncclComm_t *newcomm;
    bool configured;
    ncclConfig_t config;
};

static _Thread_local ncclComm_t worked_on;

bool background_is_other(ncclComm_t comm) {
    return atomic_load(&comm->background) && worked_on != comm;
}

void background_wait(ncclComm_t comm) {
    while (background_is_other(comm))
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void *split_in_thread(void *arg) {
    struct work *work = arg;
    ncclComm_t comm = work->comm;
    const char *pause = getenv("HOSTMEM_SPLIT_MS");
    worked_on = comm;
    for (long ms = pause ? atol(pause) : 0; ms > 0; ms--)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ncclResult_t result =
        split_now(comm, work->color, work->key, work->newcomm, work->configured ? &work->config : NULL);
    if (result != ncclSuccess && result != ncclInProgress)
        comm_break(comm, result);
    worked_on = NULL;
    free(work);
    atomic_store(&comm->background, 0);
    return NULL;
}

ncclResult_t background_split(ncclComm_t comm, int color, int key, ncclComm_t *newcomm, const ncclConfig_t *config) {
    struct work *work = calloc(1, sizeof *work);
    pthread_t thread;
    if (!work)
        return fail(ncclSystemError, "out of memory for a split");
    *work = (struct work){.comm = comm, .color = color, .key = key, .newcomm = newcomm, .configured = config != NULL};
    if (config)
        memcpy(&work->config, config, config->size < sizeof work->config ? config->size : sizeof work->config);
    __atomic_store_n(newcomm, NULL, __ATOMIC_RELEASE);
    atomic_store(&comm->background, 1);
    if (pthread_create(&thread, NULL, split_in_thread, work) != 0) {
        atomic_store(&comm->background, 0);
        free(work);
        return fail(ncclSystemError, "no thread for a split");
    }
    pthread_detach(thread);
    return ncclSuccess;
}
