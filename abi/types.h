/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NCCL's types, result codes and the types of its functions, as far as they are the same in every version (nccl.h of
 * 2.4 to 2.32). For code that must not depend on the header of one version.
 */
#ifndef NCR_ABI_TYPES_H
#define NCR_ABI_TYPES_H

#include "abi/function_pointer.h"

#include <stddef.h>
#include <stdint.h>

typedef void *ncr_comm;   /* ncclComm_t */
typedef void *ncr_stream; /* cudaStream_t */
typedef void *ncr_window; /* ncclWindow_t */
struct ncr_id {
    char bytes[128]; /* ncclUniqueId */
};
struct ncr_team {
    int ranks, rank, stride; /* ncclTeam_t */
};

/* ncclResult_t */
enum {
    NCR_SUCCESS = 0,
    NCR_CUDA_ERROR = 1,
    NCR_SYSTEM_ERROR = 2,
    NCR_INVALID_ARGUMENT = 4,
    NCR_INVALID_USAGE = 5,
    NCR_IN_PROGRESS = 7
};

#define NCR_MAGIC 0xcafebeefu   /* NCCL_API_MAGIC */
#define NCR_UNDEFINED INT32_MIN /* NCCL_CONFIG_UNDEF_INT */

/* The start of ncclConfig_t, and of every other versioned struct. */
struct ncr_versioned {
    size_t size;
    unsigned magic;
    unsigned version; /* of the header that the program was compiled with, as NCCL_VERSION_CODE */
};

/* ncclConfig_t of the newest version. A program's own is as long as its `size` says, and may be longer or shorter. */
struct ncr_nccl_config {
    struct ncr_versioned head;
#define XX(type, name, since) type name;
#include "abi/nccl_config.def"
};

/* Has a configuration of `size` bytes the whole field? */
#define NCR_CONFIG_HAS(size, field)                                                                                    \
    ((size) >= offsetof(struct ncr_nccl_config, field) + sizeof(((struct ncr_nccl_config *)0)->field))

/* ---- functions; counts are in elements, streams and communicators are NCCL's own ---- */

typedef int ncr_fn_ncclGetUniqueId(struct ncr_id *id);
typedef int ncr_fn_ncclCommGetUniqueId(ncr_comm comm, struct ncr_id *id);
typedef int ncr_fn_ncclCommInitRank(ncr_comm *comm, int ranks, struct ncr_id id, int rank);
typedef int ncr_fn_ncclCommInitAll(ncr_comm *comms, int devices, const int *list);
typedef int ncr_fn_ncclCommInitRankConfig(ncr_comm *comm, int ranks, struct ncr_id id, int rank, void *config);
typedef int ncr_fn_ncclCommInitRankScalable(ncr_comm *comm, int ranks, int rank, int id_count, struct ncr_id *ids,
                                            void *config);
typedef int ncr_fn_ncclCommSplit(ncr_comm comm, int color, int key, ncr_comm *new_comm, void *config);
typedef int ncr_fn_ncclCommShrink(ncr_comm comm, int *excluded, int count, ncr_comm *new_comm, void *config, int flags);
typedef int ncr_fn_ncclCommGrow(ncr_comm comm, int ranks, const struct ncr_id *id, int rank, ncr_comm *new_comm,
                                void *config);
typedef int ncr_fn_ncclCommCount(ncr_comm comm, int *count);
typedef int ncr_fn_ncclCommUserRank(ncr_comm comm, int *rank);
typedef int ncr_fn_ncclGroupStart(void);
typedef int ncr_fn_ncclGroupEnd(void);
typedef int ncr_fn_ncclSend(const void *buffer, size_t count, int type, int peer, ncr_comm comm, ncr_stream stream);
typedef int ncr_fn_ncclRecv(void *buffer, size_t count, int type, int peer, ncr_comm comm, ncr_stream stream);
typedef int ncr_fn_ncclAllReduce(const void *from, void *to, size_t count, int type, int op, ncr_comm comm,
                                 ncr_stream stream);
typedef int ncr_fn_ncclReduceScatter(const void *from, void *to, size_t count, int type, int op, ncr_comm comm,
                                     ncr_stream stream);
typedef int ncr_fn_ncclReduce(const void *from, void *to, size_t count, int type, int op, int root, ncr_comm comm,
                              ncr_stream stream);
typedef int ncr_fn_ncclBroadcast(const void *from, void *to, size_t count, int type, int root, ncr_comm comm,
                                 ncr_stream stream);
typedef int ncr_fn_ncclBcast(void *buffer, size_t count, int type, int root, ncr_comm comm, ncr_stream stream);
typedef int ncr_fn_ncclAllGather(const void *from, void *to, size_t count, int type, ncr_comm comm, ncr_stream stream);
typedef int ncr_fn_ncclAlltoAll(const void *from, void *to, size_t count, int type, ncr_comm comm, ncr_stream stream);
typedef int ncr_fn_ncclGather(const void *from, void *to, size_t count, int type, int root, ncr_comm comm,
                              ncr_stream stream);
typedef int ncr_fn_ncclScatter(const void *from, void *to, size_t count, int type, int root, ncr_comm comm,
                               ncr_stream stream);
typedef int ncr_fn_ncclCommWindowRegister(ncr_comm comm, void *buffer, size_t size, ncr_window *window, int flags);
typedef int ncr_fn_ncclCommWindowDeregister(ncr_comm comm, ncr_window window);
typedef int ncr_fn_ncclDevCommCreate(ncr_comm comm, const void *requirements, void *device_comm);
typedef int ncr_fn_ncclLsaBarrierCreateRequirement(struct ncr_team team, int barriers, void *handle, void *requirement);
typedef int ncr_fn_ncclLLA2ACreateRequirement(int blocks, int slots, void *handle, void *requirement);

#endif
