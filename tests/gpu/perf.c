/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latency and bandwidth of all-reduce over the ranks of one process, each measured twice in turn: by the program's own
 * calls (`linked`: through the shim if it is preloaded) and by calls to the addresses inside the NCCL that is mapped
 * (`direct`), on the same communicators. Without the shim both are the same addresses, and their ratio is the noise.
 *
 *   perf [-r RANKS]
 *
 * Prints lines "measure: what=W side=linked|direct value=median min=... max=...": host_us (4 bytes, called from the
 * host), graph_us (4 bytes, replayed), busbw_gbs (256 MiB; bytes * 2 (n - 1) / n / time, as nccl-tests define bus
 * bandwidth).
 */
#include "device.h"
#include "nccl_names.h"
#include "proof.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef LARGE
#define LARGE ((size_t)256 << 20)
#endif

enum { MOST = 16, BATCHES = 21, CALLS = 200, GRAPH_CALLS = 20, LAUNCHES = 20, LARGE_BATCHES = 5, LARGE_CALLS = 8 };

/* One way into NCCL. */
struct side {
    const char *name;
    int (*all_reduce)(const void *, void *, size_t, int, int, ncclComm_t, void *);
    int (*group_start)(void);
    int (*group_end)(void);
};

static int ranks = 2;
static ncclComm_t comms[MOST];
static void *streams[MOST], *graphs[2][MOST];
static char *buffers[MOST];

static struct side sides[2] = {
    {"linked", ncclAllReduce, ncclGroupStart, ncclGroupEnd},
    {"direct", NULL, NULL, NULL},
};

static bool is_nccl(const char *path) {
    const char *base = strrchr(path, '/');
    return base && strncmp(base, "/libnccl.so", 11) == 0;
}

/* glibc's handle of an opened library is its link_map: this is a dlopen that nobody can intercept. */
static void *opened_nccl(void) {
    for (struct link_map *map = _r_debug.r_map; map; map = map->l_next)
        if (is_nccl(map->l_name))
            return map;
    fprintf(stderr, "perf: no libnccl.so is mapped\n");
    exit(1);
}

/* Returns whether the linked calls lead straight into NCCL. */
static bool find_direct(void) {
    Dl_info linked;
    if (dladdr((void *)ncclAllReduce, &linked) && is_nccl(linked.dli_fname)) {
        sides[1] = (struct side){"direct", ncclAllReduce, ncclGroupStart, ncclGroupEnd};
        return true;
    }
    void *nccl = opened_nccl();
    *(void **)&sides[1].all_reduce = dlsym(nccl, "ncclAllReduce");
    *(void **)&sides[1].group_start = dlsym(nccl, "ncclGroupStart");
    *(void **)&sides[1].group_end = dlsym(nccl, "ncclGroupEnd");
    return false;
}

static void all_reduce(const struct side *side, size_t bytes) {
    nccl_check(side->group_start(), side->name);
    for (int r = 0; r < ranks; r++)
        nccl_check(
            side->all_reduce(buffers[r], buffers[r], bytes / sizeof(float), ncclFloat32, ncclSum, comms[r], streams[r]),
            side->name);
    nccl_check(side->group_end(), side->name);
}

static void wait_for_all(void) {
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        device_wait(streams[r]);
    }
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double host_us(int side) {
    double start = now_us();
    for (int i = 0; i < CALLS; i++)
        all_reduce(&sides[side], sizeof(float));
    wait_for_all();
    return (now_us() - start) / CALLS;
}

static double graph_us(int side) {
    double start = now_us();
    for (int i = 0; i < LAUNCHES; i++)
        for (int r = 0; r < ranks; r++) {
            device_use(r);
            device_launch(graphs[side][r], streams[r]);
        }
    wait_for_all();
    return (now_us() - start) / LAUNCHES / GRAPH_CALLS;
}

static double busbw_gbs(int side) {
    double start = now_us();
    for (int i = 0; i < LARGE_CALLS; i++)
        all_reduce(&sides[side], LARGE);
    wait_for_all();
    double us = (now_us() - start) / LARGE_CALLS;
    double factor = ranks > 1 ? 2.0 * (ranks - 1) / ranks : 1;
    return LARGE * factor / us / 1e3;
}

static void capture(int side) {
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        device_begin_capture(streams[r]);
    }
    for (int i = 0; i < GRAPH_CALLS; i++)
        all_reduce(&sides[side], sizeof(float));
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        graphs[side][r] = device_end_capture(streams[r]);
    }
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        graphs[side][r] = device_instantiate(graphs[side][r]);
    }
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The sides take turns, and each goes first every other time. */
static void measure(const char *what, double (*once)(int side), int batches) {
    double values[2][BATCHES];
    once(0), once(1);
    for (int b = 0; b < batches; b++)
        for (int turn = 0; turn < 2; turn++) {
            int side = (b + turn) % 2;
            values[side][b] = once(side);
        }
    for (int side = 0; side < 2; side++) {
        double *v = values[side];
        qsort(v, batches, sizeof *v, ascending);
        printf("measure: what=%s side=%s value=%.3f min=%.3f max=%.3f\n", what, sides[side].name, v[batches / 2], v[0],
               v[batches - 1]);
    }
}

/* A sum by each side: every rank holds 1, then `ranks`, then its square. */
static bool right(void) {
    float value = 1;
    for (int r = 0; r < ranks; r++)
        device_put(buffers[r], &value, sizeof value);
    all_reduce(&sides[0], sizeof value);
    all_reduce(&sides[1], sizeof value);
    wait_for_all();
    bool good = true;
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        device_get(&value, buffers[r], sizeof value);
        good = good && value == (float)(ranks * ranks);
    }
    return good;
}

int main(int argc, char **argv) {
    for (int option; (option = getopt(argc, argv, "r:")) != -1;) {
        if (option != 'r' || (ranks = atoi(optarg)) < 1 || ranks > MOST)
            return 2;
    }
    for (int r = 0; r < ranks; r++) {
        device_use(r);
        buffers[r] = device_new(LARGE);
        streams[r] = device_new_stream();
    }
    NCCL(ncclCommInitAll(comms, ranks, NULL));
    bool straight = find_direct();
    all_reduce(&sides[0], LARGE);
    wait_for_all();

    measure("host_us", host_us, BATCHES);
    capture(0);
    capture(1);
    measure("graph_us", graph_us, BATCHES);
    measure("busbw_gbs", busbw_gbs, LARGE_BATCHES);

    for (int r = 0; r < ranks; r++) {
        device_delete_graph(graphs[0][r]);
        device_delete_graph(graphs[1][r]);
    }
    int version = 0;
    NCCL(ncclGetVersion(&version));
    bool good = right();
    proof(version, "result=%s ranks=%d through=%s", good ? "right" : "wrong", ranks, straight ? "nothing" : "shim");
    for (int r = 0; r < ranks; r++)
        NCCL(ncclCommDestroy(comms[r]));
    return !good;
}
