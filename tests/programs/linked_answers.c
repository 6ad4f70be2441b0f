/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls functions of every result class, newer ones among them, and prints the answers and what ncclGetLastError says
 * after each. Prototypes as in nccl.h; NULL communicators, which every NCCL rejects.
 */
#include <stdio.h>

typedef struct {
    int ranks, rank, stride;
} ncclTeam_t;

int ncclGetVersion(int *version);
const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *communicator);
int ncclCommCount(void *communicator, int *count);
int ncclCommShrink(void *communicator, int *exclude, int count, void **result, void *config, int flags);
int pncclCommShrink(void *communicator, int *exclude, int count, void **result, void *config, int flags);
void ncclParamDumpAll(void);
ncclTeam_t ncclTeamRail(void *communicator);
int ncclTeamRankToLsa(void *communicator, ncclTeam_t team, int rank);
int ncclAllToAllv(void *send, void *counts, void *places, void *receive, void *counts2, void *places2, int type,
                  void *communicator, void *stream);

static void tell(const char *call) {
    printf(" | %s last=\"%s\"\n", call, ncclGetLastError(NULL));
}

int main(void) {
    int version = -1, count = -1, code;
    code = ncclGetVersion(&version);
    printf("version code=%d version=%d", code, version);
    tell("ncclGetVersion");
    printf("shrink code=%d", ncclCommShrink(NULL, NULL, 0, NULL, NULL, 0));
    tell("ncclCommShrink");
    printf("pshrink code=%d", pncclCommShrink(NULL, NULL, 0, NULL, NULL, 0));
    tell("pncclCommShrink");
    ncclParamDumpAll();
    printf("void");
    tell("ncclParamDumpAll");
    ncclTeam_t team = ncclTeamRail(NULL);
    printf("team %d,%d,%d", team.ranks, team.rank, team.stride);
    tell("ncclTeamRail");
    printf("number %d", ncclTeamRankToLsa(NULL, team, 0));
    tell("ncclTeamRankToLsa");
    printf("rccl code=%d", ncclAllToAllv(NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL));
    tell("ncclAllToAllv");
    printf("count code=%d", ncclCommCount(NULL, &count)); /* the backend's own error, and text, where it has one */
    tell("ncclCommCount");
    printf("text \"%s\"\n", ncclGetErrorString(5));
    return 0;
}
