/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend whose functions have NCCL's true prototypes (nccl.h and nccl_device/core.h of 2.30), for the cases in which
 * C passes arguments and results in special ways. Each answers with what it got.
 */
#define OWN_ncclGetVersion 1
#define OWN_ncclGetErrorString 1
#define OWN_ncclGetLastError 1
#define OWN_ncclCommInitRank 1
#define OWN_ncclCommInitRankConfig 1
#define OWN_ncclTeamWorld 1
#define OWN_ncclTeamRankToWorld 1
#define OWN_ncclLsaBarrierCreateRequirement 1
#define OWN_ncclGetMultimemDevicePointer 1
#define OWN_ncclPutSignal 1
#define OWN_ncclResetDebugInit 1
#include "stub_nccl.h"

#include "typed.h"

#include <stdio.h>
#include <string.h>

static char seen[512];

int ncclGetVersion(int *version) {
    *version = 23007;
    return 0;
}

/* Not NCCL's meaning: the way by which the test reads what the last call got. */
const char *ncclGetErrorString(int code) {
    return code == 4711 ? seen : "typed";
}

const char *ncclGetLastError(void *comm) {
    (void)comm;
    return "";
}

int ncclCommInitRank(void **comm, int count, ncclUniqueId id, int rank) {
    *comm = seen;
    snprintf(seen, sizeof seen, "%d %d %.20s %c", count, rank, id.internal, id.internal[127]);
    return 3;
}

int ncclCommInitRankConfig(void **comm, int count, ncclUniqueId id, int rank, void *config) {
    *comm = seen;
    snprintf(seen, sizeof seen, "%d %d %.20s %c %s", count, rank, id.internal, id.internal[127], (char *)config);
    return 4;
}

ncclTeam_t ncclTeamWorld(void *comm) {
    int *numbers = comm;
    return (ncclTeam_t){numbers[0], numbers[1], numbers[2]};
}

int ncclTeamRankToWorld(void *comm, ncclTeam_t team, int rank) {
    int *numbers = comm;
    return numbers[0] + 10 * team.nRanks + 100 * team.rank + 1000 * team.stride + 10000 * rank;
}

int ncclLsaBarrierCreateRequirement(ncclTeam_t team, int barriers, void *handle, void *out) {
    snprintf(seen, sizeof seen, "%d %d %d %d %s %s", team.nRanks, team.rank, team.stride, barriers, (char *)handle,
             (char *)out);
    return 5;
}

int ncclGetMultimemDevicePointer(void *window, size_t offset, ncclMultimemHandle_t handle, void **out) {
    *out = (char *)window + offset;
    snprintf(seen, sizeof seen, "%s", (char *)handle.multimem);
    return 6;
}

/* Ten arguments: four of them on the stack of x86-64, two on that of aarch64. */
int ncclPutSignal(const void *a, size_t b, int c, int d, void *e, size_t f, int g, int h, unsigned i, void *j) {
    snprintf(seen, sizeof seen, "%s %zu %d %d %s %zu %d %d %u %s", (const char *)a, b, c, d, (char *)e, f, g, h, i,
             (char *)j);
    return 7;
}

void ncclResetDebugInit(void) {
    strcpy(seen, "reset");
}
