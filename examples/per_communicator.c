/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process, two NCCLs: a communicator on each of the backends that are named on the command line, and the same sum
 * on both.
 *
 *   cc -Iinclude examples/per_communicator.c -o per_communicator -lnccl
 *   LD_PRELOAD=/path/libnccl_redirect.so ./per_communicator torch system
 *
 * Ranks are all GPUs of the machine; without one there are two in plain memory, for an NCCL that works on such. Without
 * the preload the program still runs, on the one NCCL that it finds.
 */
#include "nccl_redirect.h"

#include <stdio.h>
#include <stdlib.h>

/* From nccl.h, which not every machine has. */
typedef struct ncclComm *ncclComm_t;
enum { ncclInt32 = 2, ncclSum = 0 };
int ncclCommInitAll(ncclComm_t *comms, int count, const int *devices);
int ncclCommDestroy(ncclComm_t comm);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation, ncclComm_t comm, void *stream);
const char *ncclGetLastError(ncclComm_t comm);

enum { MOST = 16, COUNT = 1000 };

static int ranks = 2;
static int *buffers[MOST];
static int (*wait_for_gpu)(void), (*enter_gpu)(void *);
static void *contexts[MOST];

static void check(int code, const char *what) {
    if (code == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, ncclGetLastError(NULL));
    exit(1);
}

/* Memory that both sides can read: CUDA's managed memory, or malloc's. */
static void prepare(void) {
    int (*init)(unsigned), (*count)(int *), (*retain)(void **, int), (*allocate)(void *, size_t, unsigned);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (driver) {
        *(void **)&init = dlsym(driver, "cuInit");
        *(void **)&count = dlsym(driver, "cuDeviceGetCount");
        *(void **)&retain = dlsym(driver, "cuDevicePrimaryCtxRetain");
        *(void **)&allocate = dlsym(driver, "cuMemAllocManaged");
        *(void **)&enter_gpu = dlsym(driver, "cuCtxSetCurrent");
        *(void **)&wait_for_gpu = dlsym(driver, "cuCtxSynchronize");
    }
    if (!driver || init(0) != 0 || count(&ranks) != 0)
        enter_gpu = NULL;
    ranks = ranks < MOST ? ranks : MOST;
    for (int i = 0; i < ranks; i++)
        if (!enter_gpu)
            buffers[i] = malloc(COUNT * sizeof(int));
        else if (retain(&contexts[i], i) || enter_gpu(contexts[i]) || allocate(&buffers[i], COUNT * sizeof(int), 1))
            exit(1);
}

static int all_reduce_is_right(ncclComm_t *comms) {
    int right = 1;
    for (int i = 0; i < ranks * COUNT; i++)
        buffers[i / COUNT][i % COUNT] = i / COUNT + 1;
    check(ncclGroupStart(), "ncclGroupStart");
    for (int i = 0; i < ranks; i++)
        check(ncclAllReduce(buffers[i], buffers[i], COUNT, ncclInt32, ncclSum, comms[i], NULL), "ncclAllReduce");
    check(ncclGroupEnd(), "ncclGroupEnd");
    for (int i = 0; enter_gpu && i < ranks; i++)
        check(enter_gpu(contexts[i]) || wait_for_gpu(), "CUDA");
    for (int i = 0; i < ranks * COUNT; i++)
        right &= buffers[i / COUNT][i % COUNT] == ranks * (ranks + 1) / 2;
    return right;
}

int main(int count, char **backends) {
    ncclComm_t comms[2][MOST];
    int wrong = 0;
    if (count != 3) {
        fprintf(stderr, "usage: %s BACKEND BACKEND      each is torch, system, program or the path of a libnccl.so.2\n",
                backends[0]);
        return 2;
    }
    prepare();
    for (int i = 0; i < 2; i++) {
        if (nccl_redirect_present())
            check(nccl_redirect_use(backends[1 + i]), "nccl_redirect_use");
        check(ncclCommInitAll(comms[i], ranks, NULL), "ncclCommInitAll");
    }
    for (int i = 0; i < 2; i++) {
        struct nccl_redirect_info info = {0};
        info.size = sizeof info;
        nccl_redirect_info(comms[i][0], &info);
        int right = all_reduce_is_right(comms[i]);
        printf("%s: NCCL %d.%d.%d, %s: all-reduce %s\n", backends[1 + i], info.version / 10000,
               info.version / 100 % 100, info.version % 100, info.path ? info.path : "not preloaded",
               right ? "right" : "wrong");
        wrong |= !right;
    }
    for (int i = 0; i < 2 * ranks; i++)
        ncclCommDestroy(comms[i / ranks][i % ranks]);
    return wrong;
}
