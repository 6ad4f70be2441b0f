/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked with NCCL: calls ncclGetVersion COUNT times and prints the nanoseconds of one call. Without COUNT it calls
 * once and prints nothing: the smallest program that uses NCCL.
 *
 * usage: calls [COUNT]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int ncclGetVersion(int *version);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

int main(int argc, char **argv) {
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
    int version = 0, failed = 0;
    double start = now();
    for (long i = 0; i < count; i++)
        failed |= ncclGetVersion(&version);
    if (argc > 1)
        printf("%.4f\n", (now() - start) / (double)count);
    return failed || version == 0;
}
