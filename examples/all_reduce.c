/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small NCCL program, linked with -lnccl: adds up one buffer per rank, then does it 100 times more from a CUDA graph,
 * and checks both. It knows nothing of nccl-redirect.
 *
 * Ranks are all GPUs of the machine. CUDA's driver is opened when the program runs, so that a C compiler is all it
 * takes to build it. Where there is no GPU the buffers are plain memory: enough for an NCCL that works on such, and an
 * honest "no-GPU" from one that does not. Prints one line:
 *
 *   nccl=2.28.9 ranks=2 memory=GPU all-reduce=right graph=right
 *
 * and exits with 1 if a sum was wrong or a call failed (which is told on stderr).
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From nccl.h, which not every machine has. */
typedef struct ncclComm *ncclComm_t;
enum { ncclSuccess = 0, ncclUnhandledCudaError = 1, ncclInt64 = 4, ncclSum = 0 };
int ncclGetVersion(int *version);
int ncclCommInitAll(ncclComm_t *comms, int count, const int *devices);
int ncclCommDestroy(ncclComm_t comm);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation, ncclComm_t comm, void *stream);
const char *ncclGetErrorString(int code);

/* From cuda.h; the names are those of libcuda.so.1. */
static struct {
    int (*cuInit)(unsigned);
    int (*cuDeviceGetCount)(int *);
    int (*cuDevicePrimaryCtxRetain)(void **, int);
    int (*cuCtxSetCurrent)(void *);
    int (*cuMemAlloc_v2)(void **, size_t);
    int (*cuMemcpyHtoD_v2)(void *, const void *, size_t);
    int (*cuMemcpyDtoH_v2)(void *, const void *, size_t);
    int (*cuStreamCreate)(void **, unsigned);
    int (*cuStreamSynchronize)(void *);
    int (*cuStreamBeginCapture_v2)(void *, int);
    int (*cuStreamEndCapture)(void *, void **);
    int (*cuGraphInstantiateWithFlags)(void **, void *, unsigned long long);
    int (*cuGraphLaunch)(void *, void *);
    int (*cuGraphDestroy)(void *);
    int (*cuGraphExecDestroy)(void *);
} cuda;

enum { COUNT = 100000, SIZE = COUNT * sizeof(int64_t), MOST_RANKS = 16, REPLAYS = 100, THREAD_LOCAL = 1 };

static struct rank {
    ncclComm_t comm;
    void *context, *stream, *graph;
    int64_t *from;
    int64_t *to; /* rank 0: the same as `from`, so each all-reduce adds to what the last one left */
} ranks[MOST_RANKS];
static int rank_count;
static bool on_gpu;

static void check_cuda(int code, const char *what) {
    if (code == 0)
        return;
    fprintf(stderr, "all_reduce: %s: CUDA error %d\n", what, code);
    exit(1);
}

#define CUDA(function, ...) check_cuda(cuda.function(__VA_ARGS__), #function)

static void check_nccl(int code, const char *what) {
    if (code == ncclSuccess)
        return;
    fprintf(stderr, "all_reduce: %s: %s\n", what, ncclGetErrorString(code));
    exit(1);
}

static int count_gpus(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (!driver)
        return 0;
#define LOAD(function) *(void **)&cuda.function = dlsym(driver, #function)
    LOAD(cuInit);
    LOAD(cuDeviceGetCount);
    LOAD(cuDevicePrimaryCtxRetain);
    LOAD(cuCtxSetCurrent);
    LOAD(cuMemAlloc_v2);
    LOAD(cuMemcpyHtoD_v2);
    LOAD(cuMemcpyDtoH_v2);
    LOAD(cuStreamCreate);
    LOAD(cuStreamSynchronize);
    LOAD(cuStreamBeginCapture_v2);
    LOAD(cuStreamEndCapture);
    LOAD(cuGraphInstantiateWithFlags);
    LOAD(cuGraphLaunch);
    LOAD(cuGraphDestroy);
    LOAD(cuGraphExecDestroy);
    int count = 0;
    if (!cuda.cuInit || !cuda.cuGraphInstantiateWithFlags || cuda.cuInit(0) != 0 || cuda.cuDeviceGetCount(&count) != 0)
        return 0;
    return count < MOST_RANKS ? count : MOST_RANKS;
}

static void use(const struct rank *rank) {
    if (on_gpu)
        CUDA(cuCtxSetCurrent, rank->context);
}

static int64_t *new_buffer(int64_t value) {
    int64_t *host = malloc(SIZE);
    for (int i = 0; i < COUNT; i++)
        host[i] = value;
    if (!on_gpu)
        return host;
    void *buffer;
    CUDA(cuMemAlloc_v2, &buffer, SIZE);
    CUDA(cuMemcpyHtoD_v2, buffer, host, SIZE);
    free(host);
    return buffer;
}

/* Rank r brings r + 1 to the sum; rank 0 brings what the last sum was. */
static void prepare(void) {
    for (int i = 0; i < rank_count; i++) {
        struct rank *rank = &ranks[i];
        if (on_gpu) {
            CUDA(cuDevicePrimaryCtxRetain, &rank->context, i);
            use(rank);
            CUDA(cuStreamCreate, &rank->stream, 0);
        }
        rank->from = new_buffer(i + 1);
        rank->to = i == 0 ? rank->from : new_buffer(0);
    }
}

static void all_reduce(void) {
    check_nccl(ncclGroupStart(), "ncclGroupStart");
    for (struct rank *rank = ranks; rank < ranks + rank_count; rank++)
        check_nccl(ncclAllReduce(rank->from, rank->to, COUNT, ncclInt64, ncclSum, rank->comm, rank->stream),
                   "ncclAllReduce");
    check_nccl(ncclGroupEnd(), "ncclGroupEnd");
}

static void wait_for_all(void) {
    for (struct rank *rank = ranks; on_gpu && rank < ranks + rank_count; rank++)
        CUDA(cuStreamSynchronize, rank->stream);
}

/* Does every rank hold the sum of `times` all-reduces? */
static bool right(int times) {
    int64_t expected = 1 + (int64_t)times * (rank_count * (rank_count + 1) / 2 - 1);
    int64_t *copy = malloc(SIZE);
    bool good = true;
    for (struct rank *rank = ranks; rank < ranks + rank_count; rank++) {
        use(rank);
        if (on_gpu)
            CUDA(cuMemcpyDtoH_v2, copy, rank->to, SIZE);
        else
            memcpy(copy, rank->to, SIZE);
        for (int i = 0; i < COUNT; i++)
            good = good && copy[i] == expected;
    }
    free(copy);
    return good;
}

/* Capture one all-reduce on every rank's stream and replay it. A communicator cannot be destroyed before its graphs. */
static void replay(void) {
    void *captured[MOST_RANKS];
    for (struct rank *rank = ranks; rank < ranks + rank_count; rank++) {
        use(rank);
        CUDA(cuStreamBeginCapture_v2, rank->stream, THREAD_LOCAL);
    }
    all_reduce();
    for (struct rank *rank = ranks; rank < ranks + rank_count; rank++) {
        use(rank);
        CUDA(cuStreamEndCapture, rank->stream, &captured[rank - ranks]);
    }
    /* Only now: a graph cannot be instantiated while the thread captures on another stream. */
    for (struct rank *rank = ranks; rank < ranks + rank_count; rank++) {
        use(rank);
        CUDA(cuGraphInstantiateWithFlags, &rank->graph, captured[rank - ranks], 0);
        CUDA(cuGraphDestroy, captured[rank - ranks]);
    }
    for (int i = 0; i < REPLAYS; i++)
        for (struct rank *rank = ranks; rank < ranks + rank_count; rank++) {
            use(rank);
            CUDA(cuGraphLaunch, rank->graph, rank->stream);
        }
    wait_for_all();
    for (struct rank *rank = ranks; rank < ranks + rank_count; rank++)
        CUDA(cuGraphExecDestroy, rank->graph);
}

static int report(const char *all_reduce_was, const char *graph_was) {
    int version = 0;
    ncclGetVersion(&version);
    int major = version < 10000 ? version / 1000 : version / 10000,
        rest = version - major * (version < 10000 ? 1000 : 10000);
    printf("nccl=%d.%d.%d ranks=%d memory=%s all-reduce=%s graph=%s\n", major, rest / 100, rest % 100, rank_count,
           on_gpu ? "GPU" : "host", all_reduce_was, graph_was);
    return strcmp(all_reduce_was, "wrong") == 0 || strcmp(graph_was, "wrong") == 0;
}

int main(void) {
    int gpus = count_gpus();
    on_gpu = gpus > 0;
    rank_count = on_gpu ? gpus : 2;
    prepare();

    ncclComm_t comms[MOST_RANKS];
    int code = ncclCommInitAll(comms, rank_count, NULL);
    if (code == ncclUnhandledCudaError && !on_gpu)
        return report("no-GPU", "no-GPU");
    check_nccl(code, "ncclCommInitAll");
    for (int i = 0; i < rank_count; i++)
        ranks[i].comm = comms[i];

    all_reduce();
    wait_for_all();
    const char *once = right(1) ? "right" : "wrong", *replayed = "no-GPU";
    if (on_gpu) {
        replay();
        replayed = right(1 + REPLAYS) ? "right" : "wrong";
    }
    for (int i = 0; i < rank_count; i++)
        ncclCommDestroy(ranks[i].comm);
    return report(once, replayed);
}
