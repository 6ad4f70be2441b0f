/* SPDX-License-Identifier: Apache-2.0 */
/* What the test programs use of nccl.h, which a machine with an NCCL need not have. */
#ifndef NCR_GPU_NCCL_NAMES_H
#define NCR_GPU_NCCL_NAMES_H

#include "../support/nccl_id.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct ncclComm *ncclComm_t;

enum { ncclSuccess = 0, ncclInt64 = 4, ncclFloat32 = 7, ncclSum = 0 };

int ncclGetVersion(int *version);
int ncclGetUniqueId(ncclUniqueId *id);
int ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank);
int ncclCommInitAll(ncclComm_t *comms, int count, const int *devices);
int ncclCommDestroy(ncclComm_t comm);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, ncclComm_t comm, void *stream);
int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, ncclComm_t comm, void *stream);
int ncclAllGather(const void *from, void *to, size_t count, int type, ncclComm_t comm, void *stream);
int ncclReduceScatter(const void *from, void *to, size_t count, int type, int op, ncclComm_t comm, void *stream);
int ncclSend(const void *from, size_t count, int type, int peer, ncclComm_t comm, void *stream);
int ncclRecv(void *to, size_t count, int type, int peer, ncclComm_t comm, void *stream);
const char *ncclGetErrorString(int code);

/* End the program with a message unless `code` is ncclSuccess. */
static inline void nccl_check(int code, const char *what) {
    if (code == ncclSuccess)
        return;
    fprintf(stderr, "%s: %s\n", what, ncclGetErrorString(code));
    exit(1);
}

#define NCCL(call) nccl_check(call, #call)

#endif
