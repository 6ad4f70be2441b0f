/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls functions that C passes arguments to, or gets results from, in special ways; prints what went and came. With an
 * argument N only the Nth of them, so that it is the process's first call.
 */
#include "../libraries/typed.h"

#include <stdio.h>
#include <stdlib.h>

static ncclUniqueId an_id(void) {
    ncclUniqueId id;
    for (int i = 0; i < 128; i++)
        id.internal[i] = (char)('a' + i % 26);
    id.internal[20] = 0;
    id.internal[127] = '!';
    return id;
}

static const char *seen(void) {
    return ncclGetErrorString(4711);
}

static void init_rank(void) {
    void *comm = NULL;
    int code = ncclCommInitRank(&comm, 8, an_id(), 3);
    printf("init %d %d %s\n", code, comm != NULL, seen());
}

static void init_rank_config(void) {
    void *comm = NULL;
    char config[sizeof(size_t)] =
        "config"; /* its size, if it is taken for one, makes no sense: so it passes as it is */
    int code = ncclCommInitRankConfig(&comm, 8, an_id(), 3, config);
    printf("config %d %d %s\n", code, comm != NULL, seen());
}

static void team_world(void) {
    int numbers[] = {16, -5, 2000000000};
    ncclTeam_t team = ncclTeamWorld(numbers);
    printf("team %d %d %d\n", team.nRanks, team.rank, team.stride);
}

static void team_rank(void) {
    int one = 1;
    printf("rank %d\n", ncclTeamRankToWorld(&one, (ncclTeam_t){2, 3, 4}, 5));
}

static void barrier(void) {
    int code = ncclLsaBarrierCreateRequirement((ncclTeam_t){7, 8, 9}, 10, "handle", "out");
    printf("barrier %d %s\n", code, seen());
}

static void multimem(void) {
    char window[16] = "0123456789";
    void *out = "untouched";
    int code = ncclGetMultimemDevicePointer(window, 5, (ncclMultimemHandle_t){"multimem"}, &out);
    printf("multimem %d %s %s\n", code, (char *)out, seen());
}

static void ten_arguments(void) {
    int code = ncclPutSignal("a", 1, 2, 3, "e", 5, 6, 7, 8, "j");
    printf("ten %d %s\n", code, seen());
}

static void nothing(void) {
    ncclResetDebugInit();
    printf("void %s\n", seen());
}

int main(int argc, char **argv) {
    void (*const calls[])(void) = {init_rank, init_rank_config, team_world,    team_rank,
                                   barrier,   multimem,         ten_arguments, nothing};
    if (argc > 1) {
        calls[atoi(argv[1])]();
        return 0;
    }
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        calls[i]();
    return 0;
}
