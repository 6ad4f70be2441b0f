/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NCCL 2.31's forms of the collectives with a configuration per call. Its fields tune what host memory has not; NULL is
 * the plain call.
 */
#include "backend.h"

/* An error inside a group must spoil the group, so that it is reported within a pair of its own. */
static ncclResult_t coll_config_check(const ncclCollConfig_t *config) {
    if (!config || config->magic == NCCL_API_MAGIC)
        return ncclSuccess;
    group_enter();
    return group_leave(fail(ncclInvalidArgument, "the configuration of a collective was not initialised with "
                                                 "NCCL_COLLCONFIG_INITIALIZER"));
}

#define CONFIG_FORM(name, parameters, arguments)                                                                       \
    ncclResult_t hostmem_##name##Config parameters {                                                                   \
        ncclResult_t result = coll_config_check(config);                                                               \
        return result == ncclSuccess ? hostmem_##name arguments : result;                                              \
    }
#define TAIL ncclComm_t comm, hostmem_stream_t stream, const ncclCollConfig_t *config

CONFIG_FORM(ncclAllReduce, (const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t op, TAIL),
            (from, to, count, type, op, comm, stream))
CONFIG_FORM(ncclBroadcast, (const void *from, void *to, size_t count, ncclDataType_t type, int root, TAIL),
            (from, to, count, type, root, comm, stream))
CONFIG_FORM(ncclReduce, (const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t op, int root, TAIL),
            (from, to, count, type, op, root, comm, stream))
CONFIG_FORM(ncclAllGather, (const void *from, void *to, size_t count, ncclDataType_t type, TAIL),
            (from, to, count, type, comm, stream))
CONFIG_FORM(ncclReduceScatter, (const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t op, TAIL),
            (from, to, count, type, op, comm, stream))
CONFIG_FORM(ncclAlltoAll, (const void *from, void *to, size_t count, ncclDataType_t type, TAIL),
            (from, to, count, type, comm, stream))
CONFIG_FORM(ncclGather, (const void *from, void *to, size_t count, ncclDataType_t type, int root, TAIL),
            (from, to, count, type, root, comm, stream))
CONFIG_FORM(ncclScatter, (const void *from, void *to, size_t count, ncclDataType_t type, int root, TAIL),
            (from, to, count, type, root, comm, stream))
