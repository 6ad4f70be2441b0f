/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pending handles of two NCCLs in one process: non-blocking communicators of one rank are split, and the handle is used
 * as soon as the program sees it, by each of the ways in which it can learn of it. Linked with -lnccl. Prints for each:
 *
 *   route: version=2.28.9 path=/path/libnccl.so.2 splits=60 pending=58 result=right
 *
 * where `pending` is how many calls returned before there was a handle. Nothing is destroyed: NCCL 2.28.3 and 2.28.9 hang
 * in ncclCommAbort of such a communicator after a few rounds, also without the preload.
 *
 * usage: pending BACKEND BACKEND
 */
#include "../../include/nccl_redirect.h"
#include "device.h"
#include "nccl_names.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { BACKENDS = 2, ROUNDS = 20, WAYS = 3, IN_PROGRESS = 7, UNDEFINED = INT32_MIN };

struct config { /* ncclConfig_t of 2.18 */
    size_t size;
    unsigned magic, version;
    int blocking, cga, least, most;
    const char *net;
    int split_share;
};

int ncclCommInitRankConfig(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank, void *config);
int ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t *made, void *config);
int ncclCommGetAsyncError(ncclComm_t comm, int *state);
int ncclCommCount(ncclComm_t comm, int *count);

static ncclComm_t parents[BACKENDS];
static int pending[BACKENDS];

static int may_be_in_progress(int code) {
    return code == IN_PROGRESS ? ncclSuccess : code;
}

static void wait_until_done(ncclComm_t comm) {
    int state;
    do
        NCCL(ncclCommGetAsyncError(comm, &state));
    while (state == IN_PROGRESS);
    NCCL(state);
}

static void make_parent(int side, const char *backend) {
    struct config config = {sizeof config, 0xcafebeef, 21801, 0, UNDEFINED, UNDEFINED, UNDEFINED, NULL, UNDEFINED};
    ncclUniqueId id;
    NCCL(nccl_redirect_use(backend));
    NCCL(ncclGetUniqueId(&id));
    NCCL(may_be_in_progress(ncclCommInitRankConfig(&parents[side], 1, id, 0, &config)));
    wait_until_done(parents[side]);
}

static ncclComm_t look(ncclComm_t *variable) {
    ncclComm_t seen;
    while (!(seen = __atomic_load_n(variable, __ATOMIC_ACQUIRE)))
        usleep(10);
    *variable = (ncclComm_t)(void *)variable; /* used for something else at once */
    return seen;
}

/* Splits of both libraries at the same time. Their variables are on the heap and freed when they have been read. */
static void split_both(int way, ncclComm_t made[BACKENDS]) {
    ncclComm_t *variables[BACKENDS];
    if (way == 2)
        NCCL(ncclGroupStart());
    for (int side = 0; side < BACKENDS; side++) {
        variables[side] = malloc(sizeof **variables);
        NCCL(may_be_in_progress(ncclCommSplit(parents[side], 0, 0, variables[side], NULL)));
        pending[side] += way != 2 && !__atomic_load_n(variables[side], __ATOMIC_ACQUIRE);
    }
    if (way == 2)
        NCCL(may_be_in_progress(ncclGroupEnd()));
    for (int side = BACKENDS - 1; side >= 0; side--) {
        if (way == 1)
            wait_until_done(parents[side]);
        made[side] = look(variables[side]);
        free(variables[side]);
    }
}

static int belongs_to(ncclComm_t comm, ncclComm_t parent) {
    struct nccl_redirect_info a = {.size = sizeof a}, b = {.size = sizeof b};
    nccl_redirect_info(comm, &a);
    nccl_redirect_info(parent, &b);
    return strcmp(a.path, b.path) == 0;
}

int main(int argc, char **argv) {
    int right[BACKENDS] = {0, 0}, wrong = 0;
    if (argc != 1 + BACKENDS)
        return 2;
    device_use(0);
    for (int side = 0; side < BACKENDS; side++)
        make_parent(side, argv[1 + side]);
    nccl_redirect_use(NULL);
    for (int round = 0; round < ROUNDS * WAYS; round++) {
        ncclComm_t made[BACKENDS], none = NULL;
        split_both(round % WAYS, made);
        for (int side = 0; side < BACKENDS; side++) {
            int count = 0;
            wait_until_done(parents[side]);
            wait_until_done(made[side]);
            NCCL(ncclCommCount(made[side], &count));
            right[side] += count == 1 && belongs_to(made[side], parents[side]);
            NCCL(may_be_in_progress(ncclCommSplit(parents[side], -1, 0, &none, NULL)));
            wait_until_done(parents[side]);
        }
    }
    for (int side = 0; side < BACKENDS; side++) {
        struct nccl_redirect_info info = {.size = sizeof info};
        nccl_redirect_info(parents[side], &info);
        printf("route: version=%d.%d.%d path=%s splits=%d pending=%d result=%s\n", info.version / 10000,
               info.version / 100 % 100, info.version % 100, info.path, ROUNDS * WAYS, pending[side],
               right[side] == ROUNDS * WAYS ? "right" : "wrong");
        wrong |= right[side] != ROUNDS * WAYS;
    }
    return wrong;
}
