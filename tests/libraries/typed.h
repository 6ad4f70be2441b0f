/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's prototypes, as far as the typed backend has them. */
#ifndef TYPED_H
#define TYPED_H

#include "../support/nccl_id.h"

#include <stddef.h>

typedef struct {
    int nRanks, rank, stride;
} ncclTeam_t;

typedef struct {
    void *multimem;
} ncclMultimemHandle_t;

int ncclGetVersion(int *version);
const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *comm);
int ncclCommInitRank(void **comm, int count, ncclUniqueId id, int rank);
int ncclCommInitRankConfig(void **comm, int count, ncclUniqueId id, int rank, void *config);
ncclTeam_t ncclTeamWorld(void *comm);
int ncclTeamRankToWorld(void *comm, ncclTeam_t team, int rank);
int ncclLsaBarrierCreateRequirement(ncclTeam_t team, int barriers, void *handle, void *out);
int ncclGetMultimemDevicePointer(void *window, size_t offset, ncclMultimemHandle_t handle, void **out);
int ncclPutSignal(const void *a, size_t b, int c, int d, void *e, size_t f, int g, int h, unsigned i, void *j);
void ncclResetDebugInit(void);

#endif
