/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked with NCCL: calls functions that an older backend lacks, of each kind of result, and prints the answers and the
 * text.
 */
#include "../libraries/typed.h"

#include <stdio.h>

int ncclTeamRankToLsa(void *comm, ncclTeam_t team, int rank);
ncclTeam_t ncclTeamLsa(void *comm);

int main(void) {
    int code = ncclPutSignal("a", 1, 2, 3, "e", 5, 6, 7, 8, "j");
    printf("code=%d %s\n", code, ncclGetLastError(NULL));
    ncclTeam_t team = ncclTeamLsa(NULL);
    printf("team=%d,%d,%d rank=%d\n", team.nRanks, team.rank, team.stride, ncclTeamRankToLsa(NULL, team, 0));
    return 0;
}
