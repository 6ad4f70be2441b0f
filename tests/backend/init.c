/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions, unique ids and the functions that create communicators from nothing.
 *
 * A unique id holds the path of the shared memory. Its last 16 bytes stay zero and are not looked at: tools may put a
 * mark of their own there, as NCCL allows.
 */
#include "backend.h"

#include <stdio.h>
#include <string.h>

static const char ID_PREFIX[] = "hostmem:";
enum { ID_TEXT_BYTES = NCCL_UNIQUE_ID_BYTES - 16 };

/* NCCL wrote its version with one digit less for the minor up to 2.8. */
ncclResult_t hostmem_ncclGetVersion(int *version) {
    int major = HOSTMEM_VERSION / 10000, minor = HOSTMEM_VERSION / 100 % 100, patch = HOSTMEM_VERSION % 100;
    if (!version)
        return fail(ncclInvalidArgument, "ncclGetVersion: the result is NULL");
    *version = minor <= 8 ? major * 1000 + minor * 100 + patch : HOSTMEM_VERSION;
    return ncclSuccess;
}

ncclResult_t hostmem_ncclGetUniqueId(ncclUniqueId *id) {
    if (!id)
        return fail(ncclInvalidArgument, "ncclGetUniqueId: the result is NULL");
    memset(id, 0, sizeof *id);
    memcpy(id->internal, ID_PREFIX, sizeof ID_PREFIX);
    size_t used = strlen(ID_PREFIX);
    if (!segment_new_path(id->internal + used, ID_TEXT_BYTES - used))
        return fail(ncclSystemError, "ncclGetUniqueId: no random number for a unique name");
    return ncclSuccess;
}

/* The number of ranks is part of the name: ranks that disagree about it never meet, and time out. */
static ncclResult_t path_of_id(const ncclUniqueId *id, int nranks, char path[PATH_BYTES]) {
    size_t used = strlen(ID_PREFIX);
    if (memcmp(id->internal, ID_PREFIX, used) != 0 || !memchr(id->internal, '\0', ID_TEXT_BYTES))
        return fail(ncclInvalidArgument, "the unique id is not from ncclGetUniqueId of this library (%s)",
                    hostmem_version_text);
    snprintf(path, PATH_BYTES, "%s-%d", id->internal + used, nranks);
    return ncclSuccess;
}

/* The caller's struct may be shorter than ours: what lies beyond its size is not read. */
ncclResult_t config_read(const ncclConfig_t *config, bool *blocking) {
    if (!config)
        return ncclSuccess;
    if (config->magic != NCCL_API_MAGIC)
        return fail(ncclInvalidArgument, "ncclConfig_t was not initialised with NCCL_CONFIG_INITIALIZER");
    if (config->size < offsetof(ncclConfig_t, blocking) + sizeof config->blocking)
        return ncclSuccess;
    bool may_be_undefined = HOSTMEM_VERSION >= 21700;
    if (config->blocking == NCCL_CONFIG_UNDEF_INT && may_be_undefined)
        return ncclSuccess;
    if (config->blocking != 0 && config->blocking != 1)
        return fail(ncclInvalidArgument, "ncclConfig_t: blocking is %d, must be 0 or 1", config->blocking);
    *blocking = config->blocking;
    return ncclSuccess;
}

static ncclResult_t init_rank(ncclComm_t *newcomm, int nranks, const ncclUniqueId *id, int rank, int device,
                              const ncclConfig_t *config) {
    char path[PATH_BYTES];
    bool blocking = true;
    if (!newcomm)
        return fail(ncclInvalidArgument, "the new communicator has nowhere to go: NULL");
    __atomic_store_n(newcomm, NULL, __ATOMIC_RELEASE);
    ncclResult_t result = config_read(config, &blocking);
    if (result == ncclSuccess)
        result = path_of_id(id, nranks, path);
    if (result == ncclSuccess)
        result = comm_create(newcomm, path, nranks, rank, device, blocking);
    if (result == ncclSuccess)
        result = group_add_join(*newcomm, newcomm);
    return result;
}

ncclResult_t hostmem_ncclCommInitRankConfig(ncclComm_t *newcomm, int nranks, ncclUniqueId id, int rank,
                                            ncclConfig_t *config) {
    group_enter();
    return group_leave(init_rank(newcomm, nranks, &id, rank, rank, config));
}

ncclResult_t hostmem_ncclCommInitRank(ncclComm_t *newcomm, int nranks, ncclUniqueId id, int rank) {
    return hostmem_ncclCommInitRankConfig(newcomm, nranks, id, rank, NULL);
}

/* More ids only make NCCL's bootstrap faster; the first one is enough for ranks to meet. */
ncclResult_t hostmem_ncclCommInitRankScalable(ncclComm_t *newcomm, int nranks, int rank, int nids, ncclUniqueId *ids,
                                              ncclConfig_t *config) {
    group_enter();
    if (nids < 1 || nids > nranks || !ids)
        return group_leave(fail(ncclInvalidArgument, "invalid number of unique ids: %d for %d ranks", nids, nranks));
    return group_leave(init_rank(newcomm, nranks, ids, rank, rank, config));
}

static ncclResult_t check_devices(int ndev, const int *devices) {
    for (int i = 0; devices && i < ndev; i++) {
        if (devices[i] < 0)
            return fail(ncclInvalidArgument, "ncclCommInitAll: invalid device %d", devices[i]);
        for (int j = 0; j < i; j++)
            if (devices[j] == devices[i])
                return fail(ncclInvalidUsage, "ncclCommInitAll: device %d is listed twice", devices[i]);
    }
    return ncclSuccess;
}

ncclResult_t hostmem_ncclCommInitAll(ncclComm_t *comms, int ndev, const int *devices) {
    ncclUniqueId id;
    group_enter();
    if (!comms || ndev < 1)
        return group_leave(fail(ncclInvalidArgument, "ncclCommInitAll: %d devices, or nowhere to put them", ndev));
    ncclResult_t result = check_devices(ndev, devices);
    if (result == ncclSuccess)
        result = hostmem_ncclGetUniqueId(&id);
    for (int i = 0; i < ndev && result == ncclSuccess; i++)
        result = init_rank(&comms[i], ndev, &id, i, devices ? devices[i] : i, NULL);
    return group_leave(result);
}
