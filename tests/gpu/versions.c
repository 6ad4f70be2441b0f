/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program compiled for NCCL 2.32.3, on whatever NCCL is active: everything that an older one lacks and that can be
 * had all the same, against reference results, then captured in one graph and replayed.
 *
 * usage: versions [-g REPLAYS]      two ranks in one process, a thread for each
 *        versions -j FILE -k RANK   one rank of two; rank 0 writes the unique id into FILE, the
 * other waits for it. Prints what joining gave, and after how long
 *
 * In the proof: calls=N (that gave what they should), refused=NAMES of what this NCCL is too old for.
 */
#include "device.h"
#include "proof.h"
#include "../support/nccl_id.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- from nccl.h of 2.32.3, so that this compiles where that is not ---- */

typedef struct ncclComm *ncclComm_t;
typedef struct ncclWindow_vidmem *ncclWindow_t;
typedef struct {
    int nRanks, rank, stride;
} ncclTeam_t;

enum { ncclSuccess = 0, ncclInvalidUsage = 5 };
enum { ncclInt32 = 2, ncclBfloat16 = 9, ncclFloat8e4m3 = 10 };
enum { ncclSum = 0, UNDEFINED = INT32_MIN, MAGIC = (int)0xcafebeef, VERSION = 23203 };

typedef struct {
    size_t size;
    unsigned magic, version;
    int blocking, cgaClusterSize, minCTAs, maxCTAs;
    const char *netName;
    int splitShare, trafficClass;
    const char *commName;
    int collnetEnable, CTAPolicy, shrinkShare, nvlsCTAs, nChannelsPerNetPeer, nvlinkCentricSched;
    int graphUsageMode, numRmaCtx, maxP2pPeers, graphStreamOrdering, launchOrderImplicit, numRmaSig;
    int rmaEagerInit, hostCftMode, nvlsHostMode;
} ncclConfig_t;
_Static_assert(sizeof(ncclConfig_t) == 120, "as in the header");

typedef struct {
    size_t size;
    unsigned magic, version;
    void *ext;
    int minCTAs, maxCTAs, nvlsCTAs, cgaClusterSize;
    const char *algSelection;
    int forceAlgSelection, CTAPolicy;
    uint64_t userProfilerTag;
    void *launchCompletionEvent;
} ncclCollConfig_t;

typedef struct {
    size_t size;
    unsigned magic, version;
    float estimatedTime;
} ncclSimInfo_t;

static const ncclConfig_t standard_config = {sizeof standard_config,
                                             (unsigned)MAGIC,
                                             VERSION,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             NULL,
                                             UNDEFINED,
                                             UNDEFINED,
                                             NULL,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED,
                                             UNDEFINED};
static const ncclCollConfig_t standard_coll_config = {sizeof standard_coll_config,
                                                      (unsigned)MAGIC,
                                                      VERSION,
                                                      NULL,
                                                      UNDEFINED,
                                                      UNDEFINED,
                                                      UNDEFINED,
                                                      UNDEFINED,
                                                      NULL,
                                                      1,
                                                      UNDEFINED,
                                                      0,
                                                      NULL};

#define COLLECTIVE const void *from, void *to, size_t count, int type
int ncclGetVersion(int *version);
int ncclGetUniqueId(ncclUniqueId *id);
const char *ncclGetLastError(ncclComm_t comm);
int ncclCommInitRankScalable(ncclComm_t *comm, int ranks, int rank, int count, ncclUniqueId *ids, ncclConfig_t *config);
int ncclCommInitRankConfig(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t *config);
int ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t *child, ncclConfig_t *config);
int ncclCommMemStats(ncclComm_t comm, int statistic, uint64_t *value);
int ncclCommFinalize(ncclComm_t comm);
int ncclCommDestroy(ncclComm_t comm);
int ncclMemAlloc(void **pointer, size_t size);
int ncclMemFree(void *pointer);
int ncclCommRegister(ncclComm_t comm, void *buffer, size_t size, void **handle);
int ncclCommDeregister(ncclComm_t comm, void *handle);
int ncclCommWindowRegister(ncclComm_t comm, void *buffer, size_t size, ncclWindow_t *window, int flags);
int ncclCommWindowDeregister(ncclComm_t comm, ncclWindow_t window);
int ncclWinGetUserPtr(ncclComm_t comm, ncclWindow_t window, void **pointer);
ncclTeam_t ncclTeamWorld(ncclComm_t comm);
int ncclTeamRankToWorld(ncclComm_t comm, ncclTeam_t team, int rank);
void ncclResetDebugInit(void);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclGroupSimulateEnd(ncclSimInfo_t *info);
int ncclSend(const void *from, size_t count, int type, int peer, ncclComm_t comm, void *stream);
int ncclRecv(void *to, size_t count, int type, int peer, ncclComm_t comm, void *stream);
int ncclAllGather(COLLECTIVE, ncclComm_t comm, void *stream);
int ncclBroadcast(COLLECTIVE, int root, ncclComm_t comm, void *stream);
int ncclAlltoAll(COLLECTIVE, ncclComm_t comm, void *stream);
int ncclAllToAll(COLLECTIVE, ncclComm_t comm, void *stream); /* RCCL's name of it */
int ncclGather(COLLECTIVE, int root, ncclComm_t comm, void *stream);
int ncclScatter(COLLECTIVE, int root, ncclComm_t comm, void *stream);
int ncclAllReduceConfig(COLLECTIVE, int op, ncclComm_t comm, void *stream, const ncclCollConfig_t *config);
int ncclReduceScatterConfig(COLLECTIVE, int op, ncclComm_t comm, void *stream, const ncclCollConfig_t *config);
int ncclAlltoAllConfig(COLLECTIVE, ncclComm_t comm, void *stream, const ncclCollConfig_t *config);

/* ---- one rank ---- */

enum { RANKS = 2, COUNT = 4096, BLOCK = COUNT * 4, ROOT = 1, ALLOCATION = 4 << 20 };

static atomic_int calls, wrong;
static char refused[512];
static pthread_barrier_t together;

static void must(int code, const char *what) {
    if (code == ncclSuccess) {
        atomic_fetch_add(&calls, 1);
        return;
    }
    fprintf(stderr, "%s: %d, %s\n", what, code, ncclGetLastError(NULL));
    exit(1);
}
#define MUST(call) must(call, #call)

/*
 * Done, or refused with a text of what it needs; never anything else. Rank 0 keeps the names. The text is one for the
 * process: both ranks look at it before either goes on.
 */
static void may(int code, int rank, const char *name) {
    pthread_barrier_wait(&together);
    if (code != ncclSuccess && (code != ncclInvalidUsage || !strstr(ncclGetLastError(NULL), name) ||
                                !strstr(ncclGetLastError(NULL), " needs NCCL "))) {
        fprintf(stderr, "%s: %d, %s\n", name, code, ncclGetLastError(NULL));
        exit(1);
    }
    if (code != ncclSuccess && rank == 0)
        sprintf(refused + strlen(refused), "%s%s", *refused ? "," : "", name);
    pthread_barrier_wait(&together);
}

static void expect(bool holds, const char *what, int rank) {
    if (holds)
        return;
    fprintf(stderr, "rank %d: %s\n", rank, what);
    atomic_fetch_add(&wrong, 1);
}

/* Buffers of one rank: blocks of COUNT elements of 4 bytes, at these places. */
enum {
    IN,
    ALL_IN = IN + 1,
    ALL_OUT = ALL_IN + RANKS,
    OTHER = ALL_OUT + RANKS,
    GATHERED,
    SCATTERED = GATHERED + RANKS,
    SUM,
    PART,
    MOVED,
    SPREAD = MOVED + 1,
    ROOTS = SPREAD + RANKS,
    AGAIN,
    BLOCKS = AGAIN + RANKS
};

struct rank {
    int rank;
    ncclComm_t comm;
    ncclUniqueId id;
    char *memory; /* BLOCKS blocks on the device */
    void *stream;
};

static char *at(const struct rank *r, int block) {
    return r->memory + (size_t)block * BLOCK;
}

/* What `rank` holds for `peer` in this round. */
static int32_t value(int rank, int peer, int round, int i) {
    return ((rank * 7 + peer) * 31 + round) * 10000 + i;
}

static void put(const struct rank *r, int round) {
    int32_t block[COUNT];
    for (int peer = 0; peer < RANKS; peer++) {
        for (int i = 0; i < COUNT; i++)
            block[i] = value(r->rank, peer, round, i);
        device_put(at(r, ALL_IN + peer), block, BLOCK);
    }
    device_put(at(r, IN), block, BLOCK); /* the one for the last peer */
    memset(block, 0, BLOCK);
    for (int clear = ALL_OUT; clear < BLOCKS; clear++)
        device_put(at(r, clear), block, BLOCK);
}

/* Everything once, on the stream. */
static void enqueue(const struct rank *r) {
    ncclComm_t c = r->comm;
    void *s = r->stream;
    int peer = 1 - r->rank;
    const ncclCollConfig_t *config = &standard_coll_config;
    MUST(ncclAlltoAll(at(r, ALL_IN), at(r, ALL_OUT), COUNT, ncclInt32, c, s));
    MUST(ncclAllToAll(at(r, ALL_IN), at(r, AGAIN), COUNT, ncclInt32, c, s));
    MUST(ncclGather(at(r, IN), at(r, GATHERED), COUNT, ncclInt32, ROOT, c, s));
    MUST(ncclGroupStart());
    MUST(ncclScatter(at(r, ALL_IN), at(r, SCATTERED), COUNT, ncclInt32, ROOT, c, s));
    MUST(ncclAlltoAllConfig(at(r, ALL_IN), at(r, ALL_OUT), COUNT, ncclInt32, c, s, NULL));
    MUST(ncclGroupEnd());
    MUST(ncclAllReduceConfig(at(r, IN), at(r, SUM), COUNT, ncclInt32, ncclSum, c, s, config));
    MUST(ncclReduceScatterConfig(at(r, ALL_IN), at(r, PART), COUNT, ncclInt32, ncclSum, c, s, NULL));
    /* Types that 2.21 does not know, 4 and 2 to an int32. */
    MUST(ncclGroupStart());
    MUST(ncclSend(at(r, IN), BLOCK, ncclFloat8e4m3, peer, c, s));
    MUST(ncclRecv(at(r, MOVED), BLOCK, ncclFloat8e4m3, peer, c, s));
    MUST(ncclGroupEnd());
    MUST(ncclAllGather(at(r, IN), at(r, SPREAD), BLOCK, ncclFloat8e4m3, c, s));
    MUST(ncclBroadcast(at(r, IN), at(r, ROOTS), BLOCK / 2, ncclBfloat16, ROOT, c, s));
}

typedef int32_t wanted(int rank, int block, int round, int i);

static int32_t from_peer(int rank, int peer, int round, int i) {
    return value(peer, rank, round, i);
}

static int32_t of_last(int rank, int peer, int round, int i) {
    (void)rank;
    return value(peer, RANKS - 1, round, i);
}

static int32_t of_root(int rank, int block, int round, int i) {
    (void)block;
    return value(ROOT, rank, round, i);
}

static int32_t of_root_last(int rank, int block, int round, int i) {
    (void)rank, (void)block;
    return value(ROOT, RANKS - 1, round, i);
}

static int32_t of_other_last(int rank, int block, int round, int i) {
    (void)block;
    return value(1 - rank, RANKS - 1, round, i);
}

static int32_t sum_of_last(int rank, int block, int round, int i) {
    (void)rank, (void)block;
    return value(0, RANKS - 1, round, i) + value(1, RANKS - 1, round, i);
}

static int32_t sum_of_mine(int rank, int block, int round, int i) {
    (void)block;
    return value(0, rank, round, i) + value(1, rank, round, i);
}

static void check(const struct rank *r, int round) {
    static const struct {
        const char *what;
        int first, blocks;
        wanted *wanted;
        bool root_only;
    } cases[] = {
        {"ncclAlltoAll", ALL_OUT, RANKS, from_peer, false},
        {"ncclAllToAll", AGAIN, RANKS, from_peer, false},
        {"ncclGather", GATHERED, RANKS, of_last, true},
        {"ncclScatter", SCATTERED, 1, of_root, false},
        {"ncclAllReduceConfig", SUM, 1, sum_of_last, false},
        {"ncclReduceScatterConfig", PART, 1, sum_of_mine, false},
        {"ncclSend and ncclRecv of fp8", MOVED, 1, of_other_last, false},
        {"ncclAllGather of fp8", SPREAD, RANKS, of_last, false},
        {"ncclBroadcast of bf16", ROOTS, 1, of_root_last, false},
    };
    int32_t block[COUNT];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int b = 0; b < cases[c].blocks && (r->rank == ROOT || !cases[c].root_only); b++) {
            bool holds = true;
            device_get(block, at(r, cases[c].first + b), BLOCK);
            for (int i = 0; i < COUNT; i++)
                holds &= block[i] == cases[c].wanted(r->rank, b, round, i);
            expect(holds, cases[c].what, r->rank);
        }
}

static void create(struct rank *r) {
    ncclConfig_t config = standard_config;
    ncclComm_t child = NULL;
    uint64_t bytes;
    MUST(ncclCommInitRankScalable(&r->comm, RANKS, r->rank, 1, &r->id, &config));
    ncclTeam_t world = ncclTeamWorld(r->comm);
    expect(world.nRanks == RANKS && world.rank == r->rank && world.stride == 1, "ncclTeamWorld", r->rank);
    expect(ncclTeamRankToWorld(r->comm, world, 1 - r->rank) == 1 - r->rank, "ncclTeamRankToWorld", r->rank);
    may(ncclCommSplit(r->comm, 0, 0, &child, &config), r->rank, "ncclCommSplit");
    if (child)
        MUST(ncclCommDestroy(child));
    may(ncclCommMemStats(r->comm, 0, &bytes), r->rank, "ncclCommMemStats");
}

static void run(struct rank *r, int replays) {
    ncclSimInfo_t info = {sizeof info, 0x74685283, VERSION, 0};
    ncclWindow_t window = NULL;
    void *handle = NULL, *memory, *pointer = NULL;
    device_use(r->rank);
    create(r);
    MUST(ncclMemAlloc(&memory, ALLOCATION));
    r->memory = memory;
    r->stream = device_new_stream();
    MUST(ncclCommRegister(r->comm, memory, ALLOCATION, &handle));
    MUST(ncclCommWindowRegister(r->comm, memory, ALLOCATION, &window, 0));
    if (window) {
        MUST(ncclWinGetUserPtr(r->comm, window, &pointer));
        expect(pointer == memory, "ncclWinGetUserPtr", r->rank);
    }
    put(r, 1);
    ncclResetDebugInit();
    enqueue(r);
    device_wait(r->stream);
    check(r, 1);

    /* A group that is only estimated, or refused: nothing of it is launched, and the next one is. */
    put(r, 2);
    MUST(ncclGroupStart());
    MUST(ncclAllReduceConfig(at(r, IN), at(r, SUM), COUNT, ncclInt32, ncclSum, r->comm, r->stream, NULL));
    may(ncclGroupSimulateEnd(&info), r->rank, "ncclGroupSimulateEnd");

    pthread_barrier_wait(&together);
    put(r, 3);
    device_begin_capture(r->stream);
    enqueue(r);
    void *graph = device_instantiate(device_end_capture(r->stream));
    for (int replay = 0; replay < replays && graph; replay++)
        device_launch(graph, r->stream);
    device_wait(r->stream);
    check(r, 3);
    put(r, 4);
    if (graph) {
        device_launch(graph, r->stream);
        device_wait(r->stream);
        check(r, 4);
        device_delete_graph(graph);
    }
    pthread_barrier_wait(&together);
    MUST(ncclCommWindowDeregister(r->comm, window));
    MUST(ncclCommDeregister(r->comm, handle));
    MUST(ncclCommFinalize(r->comm));
    MUST(ncclCommDestroy(r->comm));
    MUST(ncclMemFree(memory));
}

static int replays = 100;

static void *run_rank(void *argument) {
    run(argument, replays);
    return NULL;
}

static void run_both(void) {
    struct rank ranks[RANKS];
    pthread_t threads[RANKS];
    ncclUniqueId id;
    MUST(ncclGetUniqueId(&id));
    pthread_barrier_init(&together, NULL, RANKS);
    for (int i = 0; i < RANKS; i++) {
        ranks[i] = (struct rank){.rank = i, .id = id};
        pthread_create(&threads[i], NULL, run_rank, &ranks[i]);
    }
    for (int i = 0; i < RANKS; i++)
        pthread_join(threads[i], NULL);
}

/* ---- ranks that may disagree ---- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void share(ncclUniqueId *id, int rank, const char *path) {
    char part[4096];
    FILE *file = NULL;
    snprintf(part, sizeof part, "%s.part", path);
    if (rank == 0) {
        MUST(ncclGetUniqueId(id));
        if (!(file = fopen(part, "w")) || fwrite(id, sizeof *id, 1, file) != 1 || fclose(file) != 0 ||
            rename(part, path) != 0)
            exit(1);
        return;
    }
    while (!(file = fopen(path, "r")))
        usleep(10000);
    if (fread(id, sizeof *id, 1, file) != 1)
        exit(1);
    fclose(file);
}

static void join(int rank, const char *path) {
    ncclConfig_t config = standard_config;
    ncclUniqueId id;
    ncclComm_t comm;
    int version = 0;
    device_use(rank);
    share(&id, rank, path);
    double start = seconds();
    int code = ncclCommInitRankConfig(&comm, RANKS, id, rank, &config);
    ncclGetVersion(&version);
    proof(version, "rank=%d code=%d seconds=%.1f result=right", rank, code, seconds() - start);
    printf("%s\n", code ? ncclGetLastError(NULL) : "joined");
    exit(0);
}

int main(int argc, char **argv) {
    const char *path = NULL;
    int rank = 0, version = 0;
    for (int option; (option = getopt(argc, argv, "g:j:k:")) != -1;) {
        if (option == '?')
            return 2;
        replays = option == 'g' ? atoi(optarg) : replays;
        path = option == 'j' ? optarg : path;
        rank = option == 'k' ? atoi(optarg) : rank;
    }
    if (path)
        join(rank, path);
    run_both();
    ncclGetVersion(&version);
    proof(version, "replays=%d calls=%d refused=%s result=%s", replays, atomic_load(&calls),
          *refused ? refused : "none", atomic_load(&wrong) ? "wrong" : "right");
    return atomic_load(&wrong) != 0;
}
