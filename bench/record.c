/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked with NCCL: THREADS threads, each with a communicator of its own, call ncclAllReduce COUNT times each; prints the
 * nanoseconds of one call, in the quickest thousand (a busy machine takes time away from the others).
 * Behind it, those that it takes to read the CPU's counter once.
 *
 * usage: record COUNT [THREADS]
 */
#include "../tests/support/nccl_id.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int ncclCommInitRank(void **comm, int ranks, ncclUniqueId id, int rank);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);

static long count;
static pthread_barrier_t start;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static void *run(void *comm) {
    double *spent = malloc(sizeof *spent);
    for (long i = 0; i < 1000; i++) /* the ring's pages, the tables' rows */
        ncclAllReduce(NULL, NULL, 1024, 7, 0, comm, NULL);
    pthread_barrier_wait(&start);
    *spent = 1e9;
    for (long i = 0; i < count; i += 1000) {
        double begin = now();
        for (int k = 0; k < 1000; k++)
            ncclAllReduce(NULL, NULL, 1024, 7, 0, comm, NULL);
        double one = (now() - begin) / 1000;
        *spent = one < *spent ? one : *spent;
    }
    return spent;
}

/* The quickest of many, as above. */
static double counter(void) {
    double best = 1e9;
    volatile unsigned long long sum = 0;
    for (int i = 0; i < 1000; i++) {
        double begin = now();
        for (int k = 0; k < 1000; k++) {
#if defined(__x86_64__)
            sum += __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
            unsigned long long ticks;
            __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
            sum += ticks;
#endif
        }
        double one = (now() - begin) / 1000;
        best = one < best ? one : best;
    }
    return best;
}

int main(int argc, char **argv) {
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    pthread_t ids[64];
    double all = 0;
    count = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    if (threads < 1 || threads > 64)
        return 2;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        ncclUniqueId id = {{(char)i}};
        void *comm;
        ncclCommInitRank(&comm, 1, id, 0);
        pthread_create(&ids[i], NULL, run, comm);
    }
    for (int i = 0; i < threads; i++) {
        void *spent;
        pthread_join(ids[i], &spent);
        all += *(double *)spent;
    }
    printf("%.4f %.4f\n", all / threads, counter());
    return 0;
}
