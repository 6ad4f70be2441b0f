/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the way to one of two backends costs: ncclCommCount of a communicator on the second one, through the preload and
 * by the address of its function, in turn. Prints the nanoseconds of one call, routed and direct.
 *
 * usage: route LIBRARY [COUNT]      NCCL_REDIRECT_RULES must let dlopen of LIBRARY mean that very library
 */
#include "../include/nccl_redirect.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 31 };

typedef int count_function(void *comm, int *count);

int ncclCommInitAll(void **comms, int devices, const int *list);
count_function ncclCommCount;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static double time_of(count_function *function, void *comm, long calls) {
    int count = 0, failed = 0;
    double start = now();
    for (long i = 0; i < calls; i++)
        failed |= function(comm, &count);
    if (failed || count != 1)
        exit(1);
    return (now() - start) / (double)calls;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    long calls = argc > 2 ? atol(argv[2]) : 200000;
    double times[2][ROUNDS];
    void *first, *second;
    union {
        void *symbol;
        count_function *function;
    } direct = {NULL};
    void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    direct.symbol = handle ? dlsym(handle, "ncclCommCount") : NULL;
    if (!direct.symbol || ncclCommInitAll(&first, 1, NULL) || nccl_redirect_use(argv[1]) ||
        ncclCommInitAll(&second, 1, NULL))
        return 1;
    for (int i = 0; i < ROUNDS; i++)
        for (int turn = 0; turn < 2; turn++)
            times[turn ^ (i & 1)][i] = time_of((turn ^ (i & 1)) ? direct.function : ncclCommCount, second, calls);
    for (int i = 0; i < 2; i++)
        qsort(times[i], ROUNDS, sizeof times[i][0], ascending);
    printf("%.4f %.4f\n", times[0][ROUNDS / 2], times[1][ROUNDS / 2]);
    return 0;
}
