/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One processor: an ordinary thread makes and frees memory of the second library without a pause, a thread of real-time
 * priority does so now and then. Prints its longest wait in milliseconds; exits with 77 where the system does not allow
 * such a priority.
 *
 * usage: linked_realtime BACKEND
 */
#include "../../include/nccl_redirect.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int ncclMemAlloc(void **, size_t);
int ncclMemFree(void *);

static atomic_bool stop;

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void *make_and_free(void *backend) {
    void *memory;
    nccl_redirect_use(backend);
    while (!stop)
        if (ncclMemAlloc(&memory, 64) == 0)
            ncclMemFree(memory);
    return NULL;
}

int main(int count, char **arguments) {
    struct sched_param priority = {.sched_priority = 50};
    double longest = 0;
    pthread_t thread;
    cpu_set_t one;
    void *memory;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (count != 2 || nccl_redirect_use(arguments[1]) != 0)
        return 2;
    sched_setaffinity(0, sizeof one, &one);
    pthread_create(&thread, NULL, make_and_free, arguments[1]);
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority) != 0)
        return 77;
    for (int i = 0; i < 2000 && longest < 1000; i++) {
        struct timespec pause = {.tv_nsec = 50000 + i % 977};
        nanosleep(&pause, NULL);
        double before = now_ms();
        if (ncclMemAlloc(&memory, 64) == 0)
            ncclMemFree(memory);
        double waited = now_ms() - before;
        longest = waited > longest ? waited : longest;
    }
    stop = true;
    printf("longest %.1f\n", longest);
    return 0;
}
