/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes calls for ever, from several threads with a communicator each, and counts them in a shared file: what a trace of
 * it must show whenever it is looked at or killed.
 *
 * usage: linked_calls COUNTERS THREADS [COUNT|eat]  COUNTERS: a file of one uint64_t per thread, calls that have returned;
 *                                                   COUNT: end after so many calls of each thread; eat: take memory
 *                                                   until there is none, and abort then if nobody has killed it
 */
#include "../support/nccl_id.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int ncclGetUniqueId(ncclUniqueId *id);
int ncclCommInitRank(void **comm, int ranks, ncclUniqueId id, int rank);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);

struct thread {
    void *comm;
    volatile uint64_t *counter;
};

static uint64_t count;

static void *run(void *arg) {
    struct thread *thread = arg;
    float from[4] = {0}, to[4];
    for (uint64_t i = 0; !count || i < count; i++) {
        ncclAllReduce(from, to, 1 + i % 4, 7, 0, thread->comm, NULL);
        ++*thread->counter;
    }
    return NULL;
}

int main(int argc, char **argv) {
    int threads = argc > 2 ? atoi(argv[2]) : 0, file = threads > 0 ? open(argv[1], O_RDWR) : -1;
    count = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    uint64_t *counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    pthread_t ids[64];
    struct thread all[64];
    if (threads > 64 || counters == MAP_FAILED)
        return 2;
    for (int i = 0; i < threads; i++) {
        ncclUniqueId id;
        all[i].counter = &counters[8 * i % 512];
        if (ncclGetUniqueId(&id) || ncclCommInitRank(&all[i].comm, 1, id, 0))
            return 1;
    }
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, run, &all[i]);
    while (argc > 3 && strcmp(argv[3], "eat") == 0) {
        char *memory = malloc(1 << 16);
        if (!memory)
            abort();
        memset(memory, 1, 1 << 16);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return 0;
}
