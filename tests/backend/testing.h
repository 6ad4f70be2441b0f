/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the backend (tests/test_hostmem_*.c) stand on: NCCL's functions out of a library chosen at run time,
 * checks that work in threads and child processes, ranks in either, and elements of every type with their reference
 * results. NCR_TEST_HOSTMEM is the path of its plain variant (…/plain/libnccl.so.2); other variants are looked for beside
 * that folder. Each test is one file, which uses a part of this.
 */
#ifndef HOSTMEM_TESTING_H
#define HOSTMEM_TESTING_H

#include "hostmem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FUNCTIONS(XX)                                                                                                  \
    XX(ncclResult_t, GetVersion, int *)                                                                                \
    XX(ncclResult_t, GetUniqueId, ncclUniqueId *)                                                                      \
    XX(const char *, GetErrorString, ncclResult_t)                                                                     \
    XX(const char *, GetLastError, ncclComm_t)                                                                         \
    XX(ncclResult_t, CommInitRank, ncclComm_t *, int, ncclUniqueId, int)                                               \
    XX(ncclResult_t, CommInitAll, ncclComm_t *, int, const int *)                                                      \
    XX(ncclResult_t, CommInitRankConfig, ncclComm_t *, int, ncclUniqueId, int, ncclConfig_t *)                         \
    XX(ncclResult_t, CommInitRankScalable, ncclComm_t *, int, int, int, ncclUniqueId *, ncclConfig_t *)                \
    XX(ncclResult_t, CommFinalize, ncclComm_t)                                                                         \
    XX(ncclResult_t, CommDestroy, ncclComm_t)                                                                          \
    XX(ncclResult_t, CommAbort, ncclComm_t)                                                                            \
    XX(ncclResult_t, CommGetAsyncError, ncclComm_t, ncclResult_t *)                                                    \
    XX(ncclResult_t, CommCount, ncclComm_t, int *)                                                                     \
    XX(ncclResult_t, CommCuDevice, ncclComm_t, int *)                                                                  \
    XX(ncclResult_t, CommUserRank, ncclComm_t, int *)                                                                  \
    XX(ncclResult_t, CommSplit, ncclComm_t, int, int, ncclComm_t *, ncclConfig_t *)                                    \
    XX(ncclResult_t, CommShrink, ncclComm_t, int *, int, ncclComm_t *, ncclConfig_t *, int)                            \
    XX(ncclResult_t, AllReduce, const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t, void *)         \
    XX(ncclResult_t, Reduce, const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, int, ncclComm_t, void *)       \
    XX(ncclResult_t, Bcast, void *, size_t, ncclDataType_t, int, ncclComm_t, void *)                                   \
    XX(ncclResult_t, Broadcast, const void *, void *, size_t, ncclDataType_t, int, ncclComm_t, void *)                 \
    XX(ncclResult_t, ReduceScatter, const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t, void *)     \
    XX(ncclResult_t, AllGather, const void *, void *, size_t, ncclDataType_t, ncclComm_t, void *)                      \
    XX(ncclResult_t, AlltoAll, const void *, void *, size_t, ncclDataType_t, ncclComm_t, void *)                       \
    XX(ncclResult_t, Gather, const void *, void *, size_t, ncclDataType_t, int, ncclComm_t, void *)                    \
    XX(ncclResult_t, Scatter, const void *, void *, size_t, ncclDataType_t, int, ncclComm_t, void *)                   \
    XX(ncclResult_t, Send, const void *, size_t, ncclDataType_t, int, ncclComm_t, void *)                              \
    XX(ncclResult_t, Recv, void *, size_t, ncclDataType_t, int, ncclComm_t, void *)                                    \
    XX(ncclResult_t, GroupStart, void)                                                                                 \
    XX(ncclResult_t, GroupEnd, void)                                                                                   \
    XX(ncclResult_t, GroupSimulateEnd, ncclSimInfo_t *)                                                                \
    XX(ncclResult_t, RedOpCreatePreMulSum, ncclRedOp_t *, void *, ncclDataType_t, ncclScalarResidence_t, ncclComm_t)   \
    XX(ncclResult_t, RedOpDestroy, ncclRedOp_t, ncclComm_t)                                                            \
    XX(ncclResult_t, MemAlloc, void **, size_t)                                                                        \
    XX(ncclResult_t, MemFree, void *)                                                                                  \
    XX(ncclResult_t, CommRegister, ncclComm_t, void *, size_t, void **)                                                \
    XX(ncclResult_t, CommWindowRegister, ncclComm_t, void *, size_t, ncclWindow_t *, int)                              \
    XX(ncclTeam_t, TeamWorld, ncclComm_t)                                                                              \
    XX(ncclTeam_t, TeamLsa, ncclComm_t)                                                                                \
    XX(int, TeamRankToWorld, ncclComm_t, ncclTeam_t, int)                                                              \
    XX(int, TeamRankToLsa, ncclComm_t, ncclTeam_t, int)                                                                \
    XX(ncclResult_t, DevCommCreate, ncclComm_t, void *, void *)

static struct {
#define XX(result, name, ...) result (*name)(__VA_ARGS__);
    FUNCTIONS(XX)
#undef XX
} nccl;

static inline bool load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fprintf(stderr, "%s\n", dlerror());
#define XX(result, name, ...)                                                                                          \
    if (library)                                                                                                       \
        nccl.name = (result(*)(__VA_ARGS__))dlsym(library, "nccl" #name);                                              \
    if (library && !nccl.name) {                                                                                       \
        fprintf(stderr, "%s lacks nccl%s\n", path, #name);                                                             \
        return false;                                                                                                  \
    }
    FUNCTIONS(XX)
#undef XX
    return library != NULL;
}

/*
 * Checks may fail in threads and in child processes, where cmocka's asserts cannot be used: they are counted instead.
 */
static const char *plain_path;

/* Before all tests: 0, or the exit code of a test that cannot run. */
static inline int load_plain(void) {
    plain_path = getenv("NCR_TEST_HOSTMEM");
    if (!plain_path) {
        puts("NCR_TEST_HOSTMEM is not set: it names the plain variant of the backend over host memory");
        return 77;
    }
    return load(plain_path) ? 0 : 1;
}

static _Atomic int failures;

static inline bool check(bool holds, const char *what, int line) {
    if (!holds && atomic_fetch_add(&failures, 1) < 20)
        fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, line, what, nccl.GetLastError(NULL));
    return holds;
}
#define CHECK(condition) check((condition), #condition, __LINE__)
#define OK(call) check((call) == ncclSuccess, #call, __LINE__)

static inline void assert_no_failures(void) {
    assert_int_equal(atomic_exchange(&failures, 0), 0);
}

static inline double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- ranks in threads and in processes ---- */

typedef void rank_main(ncclComm_t comm, int rank, int nranks);

struct rank_start {
    ncclUniqueId id;
    int rank, nranks;
    rank_main *main;
};

static inline void *run_rank(void *argument) {
    struct rank_start *start = argument;
    ncclComm_t comm = NULL;
    if (OK(nccl.CommInitRank(&comm, start->nranks, start->id, start->rank)))
        start->main(comm, start->rank, start->nranks);
    if (atomic_load(&failures) == 0)
        OK(nccl.CommDestroy(comm));
    return NULL;
}

static inline bool file_of_id_exists(const ncclUniqueId *id, int nranks) {
    char path[256];
    snprintf(path, sizeof path, "%s-%d", strchr(id->internal, ':') + 1, nranks);
    return access(path, F_OK) == 0;
}

static inline void in_threads(int nranks, rank_main *main) {
    struct rank_start starts[16];
    pthread_t threads[16];
    ncclUniqueId id;
    assert_int_equal(nccl.GetUniqueId(&id), ncclSuccess);
    for (int rank = 0; rank < nranks; rank++) {
        starts[rank] = (struct rank_start){id, rank, nranks, main};
        assert_int_equal(pthread_create(&threads[rank], NULL, run_rank, &starts[rank]), 0);
    }
    for (int rank = 0; rank < nranks; rank++)
        pthread_join(threads[rank], NULL);
    assert_false(file_of_id_exists(&id, nranks));
    assert_no_failures();
}

/* threads: how many ranks each process runs. */
static inline void in_processes(int processes, int threads, rank_main *main) {
    int nranks = processes * threads;
    ncclUniqueId id;
    assert_int_equal(nccl.GetUniqueId(&id), ncclSuccess);
    pid_t children[16];
    for (int process = 0; process < processes; process++) {
        children[process] = fork();
        if (children[process] == 0) {
            pthread_t running[16];
            struct rank_start starts[16];
            for (int i = 0; i < threads; i++) {
                starts[i] = (struct rank_start){id, process * threads + i, nranks, main};
                pthread_create(&running[i], NULL, run_rank, &starts[i]);
            }
            for (int i = 0; i < threads; i++)
                pthread_join(running[i], NULL);
            _exit(atomic_load(&failures) ? 1 : 0);
        }
    }
    for (int process = 0; process < processes; process++) {
        int status = -1;
        waitpid(children[process], &status, 0);
        assert_int_equal(status, 0);
    }
    assert_false(file_of_id_exists(&id, nranks));
}

/* ---- elements of every type ---- */

static const size_t sizes[ncclNumTypes] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};

static inline bool is_floating(ncclDataType_t type) {
    return type == ncclFloat16 || type == ncclFloat32 || type == ncclFloat64 || type == ncclBfloat16;
}

static inline void put(void *buffer, size_t i, ncclDataType_t type, double value) {
    float single = (float)value;
    switch (type) {
    case ncclInt8:
    case ncclUint8:
    case ncclFloat8e4m3:
    case ncclFloat8e5m2:
        ((uint8_t *)buffer)[i] = (uint8_t)(int64_t)value;
        break;
    case ncclInt32:
    case ncclUint32:
        ((uint32_t *)buffer)[i] = (uint32_t)(int64_t)value;
        break;
    case ncclInt64:
    case ncclUint64:
        ((uint64_t *)buffer)[i] = (uint64_t)(int64_t)value;
        break;
    case ncclFloat16:
        ((_Float16 *)buffer)[i] = (_Float16)value;
        break;
    case ncclFloat32:
        ((float *)buffer)[i] = single;
        break;
    case ncclFloat64:
        ((double *)buffer)[i] = value;
        break;
    default: /* the values of these tests need no rounding in bfloat16 */
        memcpy((uint16_t *)buffer + i, (char *)&single + 2, 2);
    }
}

static inline double get(const void *buffer, size_t i, ncclDataType_t type) {
    float single = 0;
    switch (type) {
    case ncclInt8:
        return ((const int8_t *)buffer)[i];
    case ncclUint8:
    case ncclFloat8e4m3:
    case ncclFloat8e5m2:
        return ((const uint8_t *)buffer)[i];
    case ncclInt32:
        return ((const int32_t *)buffer)[i];
    case ncclUint32:
        return ((const uint32_t *)buffer)[i];
    case ncclInt64:
        return (double)((const int64_t *)buffer)[i];
    case ncclUint64:
        return (double)((const uint64_t *)buffer)[i];
    case ncclFloat16:
        return (double)((const _Float16 *)buffer)[i];
    case ncclFloat32:
        return ((const float *)buffer)[i];
    case ncclFloat64:
        return ((const double *)buffer)[i];
    default:
        memcpy((char *)&single + 2, (const uint16_t *)buffer + i, 2);
        return single;
    }
}

/* Element i of what a rank contributes: small enough that sums and products of a few ranks are exact in every type. */
static inline double element(ncclDataType_t type, int rank, size_t i) {
    bool is_signed = type == ncclInt8 || type == ncclInt32 || type == ncclInt64 || is_floating(type);
    return (double)(((size_t)rank * 5 + i * 3 + i / 7) % 7) - (is_signed ? 3 : 0);
}

static inline double reduced(ncclDataType_t type, ncclRedOp_t op, int nranks, size_t i) {
    double result = element(type, 0, i);
    for (int rank = 1; rank < nranks; rank++) {
        double value = element(type, rank, i);
        if (op == ncclSum || op == ncclAvg)
            result += value;
        else if (op == ncclProd)
            result *= value;
        else
            result = (op == ncclMax) == (value > result) ? value : result;
    }
    return op != ncclAvg ? result : is_floating(type) ? result / nranks : (double)((int64_t)result / nranks);
}

/* Through the type, so that a reference wraps around where the result does. */
static inline bool equal(const void *buffer, size_t i, ncclDataType_t type, double wanted, bool exact) {
    unsigned char reference[8];
    put(reference, 0, type, wanted);
    double got = get(buffer, i, type), difference = got - (exact ? get(reference, 0, type) : wanted);
    return exact ? difference == 0 : difference < 0.05 && difference > -0.05;
}

static inline void fill(void *buffer, size_t count, ncclDataType_t type, int rank, size_t first) {
    for (size_t i = 0; i < count; i++)
        put(buffer, i, type, element(type, rank, first + i));
}

static inline bool holds_reduced(const void *buffer, size_t first, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                 int nranks) {
    for (size_t i = 0; i < count; i++)
        if (!equal(buffer, i, type, reduced(type, op, nranks, first + i), op != ncclAvg || !is_floating(type)))
            return false;
    return true;
}

static inline bool holds_elements(const void *buffer, size_t count, ncclDataType_t type, int rank, size_t first) {
    for (size_t i = 0; i < count; i++)
        if (!equal(buffer, i, type, element(type, rank, first + i), true))
            return false;
    return true;
}

#endif
