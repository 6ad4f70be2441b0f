/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process, a communicator of all ranks on each of two NCCLs: all-reduce on both, both in one group, both captured
 * into one graph and replayed. With "halves" the first half of the ranks is on one NCCL and the second half on the other.
 * Linked with -lnccl, chooses by include/nccl_redirect.h. Prints one line for each:
 *
 *   route: version=2.28.9 path=/path/libnccl.so.2 ranks=2 replays=200 result=right
 *
 * usage: route RANKS BACKEND BACKEND [halves]
 */
#include "../../include/nccl_redirect.h"
#include "device.h"
#include "nccl_names.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16, COUNT = 1 << 16, REPLAYS = 200, BACKENDS = 2 };

/*
 * All-reduce adds the steps of ranks 1, 2, ... to the total, which rank 0 keeps in place: the end result counts the
 * runs.
 */
static struct side {
    int first, count; /* its ranks: the devices from `first` on */
    ncclComm_t comms[MOST];
    int64_t *total[MOST], *step[MOST];
    int runs;
} sides[BACKENDS];

static int ranks;
static void *streams[MOST], *graphs[MOST];

static int64_t start_of(int side, size_t i) {
    return (int64_t)i + 1000 * side;
}

static int64_t step_of(int side, int rank, size_t i) {
    return rank + side + (int64_t)(i % 7);
}

static void prepare(int side) {
    static int64_t host[COUNT];
    for (int r = 0; r < sides[side].count; r++) {
        device_use(sides[side].first + r);
        sides[side].total[r] = device_new(sizeof host);
        sides[side].step[r] = r == 0 ? sides[side].total[r] : device_new(sizeof host);
        for (size_t i = 0; i < COUNT; i++)
            host[i] = r == 0 ? start_of(side, i) : step_of(side, r, i);
        device_put(sides[side].step[r], host, sizeof host);
    }
}

static void enqueue(struct side *side) {
    for (int r = 0; r < side->count; r++)
        NCCL(ncclAllReduce(side->step[r], side->total[r], COUNT, ncclInt64, ncclSum, side->comms[r],
                           streams[side->first + r]));
    side->runs++;
}

static void run(int side) {
    NCCL(ncclGroupStart());
    enqueue(&sides[side]);
    NCCL(ncclGroupEnd());
}

static void wait_for_all(void) {
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        device_wait(streams[r]);
    }
}

static const char *result(int side) {
    static int64_t host[COUNT];
    for (int r = 0; r < sides[side].count; r++) {
        device_use(sides[side].first + r);
        device_get(host, sides[side].total[r], sizeof host);
        for (size_t i = 0; i < COUNT; i++) {
            int64_t expected = start_of(side, i);
            for (int other = 1; other < sides[side].count; other++)
                expected += sides[side].runs * step_of(side, other, i);
            if (host[i] != expected) {
                fprintf(stderr, "backend %d, rank %d: after %d runs element %zu is %lld, expected %lld\n", side, r,
                        sides[side].runs, i, (long long)host[i], (long long)expected);
                return "wrong";
            }
        }
    }
    return "right";
}

/* Both in one graph per rank. In plain memory there are none: what was captured ran at once. */
static void replay(void) {
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        device_begin_capture(streams[r]);
    }
    run(0);
    run(1);
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        graphs[r] = device_end_capture(streams[r]);
    }
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        graphs[r] = device_instantiate(graphs[r]);
    }
    if (!graphs[0])
        return;
    for (int i = 0; i < REPLAYS; i++)
        for (int r = 0; r < ranks; r++) {
            device_use(r);
            device_launch(graphs[r], streams[r]);
        }
    wait_for_all();
    for (int side = 0; side < BACKENDS; side++)
        sides[side].runs += REPLAYS - 1;
    for (int r = 0; r < ranks; r++)
        device_delete_graph(graphs[r]); /* a communicator cannot be destroyed before its graphs */
}

static void create(int side, const char *backend, bool halves) {
    int devices[MOST], half = ranks / 2;
    if (nccl_redirect_use(backend) != 0) {
        fprintf(stderr, "%s cannot be used\n", backend);
        exit(1);
    }
    sides[side].first = halves && side == 1 ? half : 0;
    sides[side].count = !halves ? ranks : side == 0 ? half : ranks - half;
    for (int r = 0; r < sides[side].count; r++)
        devices[r] = sides[side].first + r;
    prepare(side);
    NCCL(ncclCommInitAll(sides[side].comms, sides[side].count, devices));
}

int main(int argc, char **argv) {
    bool halves = argc == 3 + BACKENDS && strcmp(argv[2 + BACKENDS], "halves") == 0;
    ranks = argc == 2 + BACKENDS || halves ? atoi(argv[1]) : 0;
    if (ranks < (halves ? 2 : 1) || ranks > MOST)
        return 2;
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        streams[r] = device_new_stream();
    }
    for (int side = 0; side < BACKENDS; side++)
        create(side, argv[2 + side], halves);
    nccl_redirect_use(NULL);
    run(0);
    run(1);
    NCCL(ncclGroupStart());
    enqueue(&sides[1]);
    enqueue(&sides[0]);
    NCCL(ncclGroupEnd());
    wait_for_all();
    replay();
    int wrong = 0;
    for (int side = 0; side < BACKENDS; side++) {
        struct nccl_redirect_info info = {.size = sizeof info};
        const char *was = result(side);
        nccl_redirect_info(sides[side].comms[0], &info);
        printf("route: version=%d.%d.%d path=%s ranks=%d replays=%d result=%s\n", info.version / 10000,
               info.version / 100 % 100, info.version % 100, info.path, sides[side].count, graphs[0] ? REPLAYS : 0,
               was);
        wrong |= strcmp(was, "right") != 0;
    }
    for (int side = 0; side < BACKENDS; side++)
        for (int r = 0; r < sides[side].count; r++)
            NCCL(ncclCommDestroy(sides[side].comms[r]));
    return wrong;
}
