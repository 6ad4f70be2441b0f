/*
 * A program that chooses per communicator (include/nccl_redirect.h), linked with NCCL. Prints what it found, one line per fact.
 *
 * usage: linked_route CASE BACKEND      BACKEND is what nccl_redirect_use() is asked for
 */
#include "../../include/nccl_redirect.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    char internal[128];
} ncclUniqueId;
typedef void *ncclComm_t;

enum { ncclInt32 = 2, ncclSum = 0, SUCCESS = 0, RANKS = 2, COUNT = 1000 };

int ncclGetVersion(int *version);
int ncclGetUniqueId(ncclUniqueId *id);
const char *ncclGetLastError(ncclComm_t comm);
int ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank);
int ncclCommInitAll(ncclComm_t *comms, int count, const int *devices);
int ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t *new_comm, void *config);
int ncclCommCount(ncclComm_t comm, int *count);
int ncclCommDestroy(ncclComm_t comm);
int ncclCommShrink(ncclComm_t comm, int *excluded, int count, ncclComm_t *new_comm, void *config, int flags);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, ncclComm_t comm, void *stream);
int ncclReduce(const void *from, void *to, size_t count, int type, int op, int root, ncclComm_t comm, void *stream);
int ncclAlltoAll(const void *from, void *to, size_t count, int type, ncclComm_t comm, void *stream);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclMemAlloc(void **pointer, size_t size);
int ncclMemFree(void *pointer);

static const char *backend;

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        int code_ = (call);                                                                                            \
        if (code_ != SUCCESS) {                                                                                        \
            printf("%s:%d: %s is %d: %s\n", __FILE__, __LINE__, #call, code_, ncclGetLastError(NULL));                 \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static int version_of(ncclComm_t comm) {
    struct nccl_redirect_info info = {.size = sizeof info};
    CHECK(nccl_redirect_info(comm, &info));
    return info.version;
}

/* Sum of rank + 1 over both ranks, driven by one thread; true if every element is right. */
static int all_reduce_right(ncclComm_t comms[RANKS]) {
    static __thread int from[RANKS][COUNT], to[RANKS][COUNT];
    for (int rank = 0; rank < RANKS; rank++)
        for (int i = 0; i < COUNT; i++) {
            from[rank][i] = rank + 1 + i;
            to[rank][i] = -1;
        }
    CHECK(ncclGroupStart());
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(ncclAllReduce(from[rank], to[rank], COUNT, ncclInt32, ncclSum, comms[rank], NULL));
    CHECK(ncclGroupEnd());
    for (int rank = 0; rank < RANKS; rank++)
        for (int i = 0; i < COUNT; i++)
            if (to[rank][i] != 3 + 2 * i)
                return 0;
    return 1;
}

static void make(const char *choice, ncclComm_t comms[RANKS]) {
    CHECK(nccl_redirect_use(choice));
    CHECK(ncclCommInitAll(comms, RANKS, NULL));
    CHECK(nccl_redirect_use(NULL));
}

static void two_backends(void) {
    ncclComm_t first[RANKS], second[RANKS], split[RANKS];
    int version, count = 0;
    CHECK(ncclCommInitAll(first, RANKS, NULL));
    make(backend, second);
    printf("first=%d second=%d\n", version_of(first[0]), version_of(second[0]));
    printf("first right=%d second right=%d\n", all_reduce_right(first), all_reduce_right(second));
    CHECK(ncclGroupStart());
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(ncclCommSplit(second[rank], 0, RANKS - rank, &split[rank], NULL));
    CHECK(ncclGroupEnd());
    CHECK(ncclCommCount(split[0], &count));
    printf("split=%d count=%d\n", version_of(split[0]), count);
    CHECK(ncclGetVersion(&version));
    CHECK(nccl_redirect_use(backend));
    printf("version default=%d", version);
    CHECK(ncclGetVersion(&version));
    printf(" chosen=%d\n", version);
    CHECK(nccl_redirect_use(NULL));
    for (int rank = 0; rank < RANKS; rank++) {
        CHECK(ncclCommDestroy(split[rank]));
        CHECK(ncclCommDestroy(second[rank]));
        CHECK(ncclCommDestroy(first[rank]));
    }
    printf("after destroy=%d\n", version_of(second[0]));
}

/* Both backends in one group, nested; results of both are right, and an error of one launches nothing of the other. */
static void one_group(void) {
    ncclComm_t first[RANKS], second[RANKS];
    int from[RANKS] = {1, 2}, to[4] = {-1, -1, -1, -1};
    CHECK(ncclCommInitAll(first, RANKS, NULL));
    make(backend, second);
    CHECK(ncclGroupStart());
    CHECK(ncclGroupStart());
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(ncclAllReduce(&from[rank], &to[rank], 1, ncclInt32, ncclSum, first[rank], NULL));
    CHECK(ncclGroupEnd());
    printf("inside %d\n", to[0]);
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(ncclReduce(&from[rank], &to[2 + rank], 1, ncclInt32, ncclSum, 1, second[rank], NULL));
    CHECK(ncclGroupEnd());
    printf("all %d %d reduce %d %d\n", to[0], to[1], to[2], to[3]);

    for (int i = 0; i < 4; i++)
        to[i] = -1;
    CHECK(ncclGroupStart());
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(ncclAllReduce(&from[rank], &to[rank], 1, ncclInt32, ncclSum, first[rank], NULL));
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(ncclAllReduce(&from[rank], &to[2 + rank], 1, ncclInt32, ncclSum, second[rank], NULL));
    ncclComm_t shrunk;
    int refused = ncclCommShrink(second[0], NULL, 0, &shrunk, NULL, 0);
    int ended = ncclGroupEnd();
    printf("refused %d ended %d:", refused, ended);
    printf(" second %d %d\n", to[2], to[3]);
    printf("unmatched %d\n", ncclGroupEnd());
}

static void late_results(void) {
    ncclComm_t second[RANKS], none[RANKS] = {NULL, NULL};
    CHECK(nccl_redirect_use(backend));
    ncclUniqueId id;
    CHECK(ncclGetUniqueId(&id));
    CHECK(ncclGroupStart());
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(ncclCommInitRank(&second[rank], RANKS, id, rank));
    CHECK(ncclGroupEnd());
    CHECK(nccl_redirect_use(NULL));
    printf("made in a group=%d right=%d\n", version_of(second[1]), all_reduce_right(second));
    CHECK(ncclGroupStart());
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(ncclCommSplit(second[rank], -1, 0, &none[rank], NULL));
    CHECK(ncclGroupEnd());
    printf("no color=%p\n", none[0]);
}

static void memory(void) {
    void *first, *second;
    CHECK(nccl_redirect_use(backend));
    CHECK(ncclMemAlloc(&second, 1 << 20));
    CHECK(nccl_redirect_use(NULL));
    CHECK(ncclMemAlloc(&first, 1 << 20));
    CHECK(ncclMemFree(second));
    CHECK(ncclMemFree(first));
    printf("memory freed\n");
}

static void *worker(void *arg) {
    for (int round = 0; round < 20; round++) {
        ncclComm_t comms[RANKS];
        const char *choice = ((size_t)arg + (size_t)round) % 2 ? backend : NULL;
        make(choice, comms);
        if (!all_reduce_right(comms)) {
            printf("wrong\n");
            exit(1);
        }
        for (int rank = 0; rank < RANKS; rank++)
            CHECK(ncclCommDestroy(comms[rank]));
    }
    return NULL;
}

static void threads(void) {
    enum { THREADS = 64 };
    pthread_t thread[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, worker, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    printf("threads done\n");
}

static void ask(void) {
    struct nccl_redirect_info info = {.size = sizeof info};
    char reason[4096] = "";
    int available = nccl_redirect_available(backend, reason, sizeof reason);
    printf("present=%d available=%d reason=%s\n", nccl_redirect_present(), available, reason);
    int code = nccl_redirect_info(NULL, &info);
    if (code == SUCCESS)
        printf("kind=%s version=%d backends=%d path=%s bound=%s build_id=%s\nmissing=%s\nwhy=%s\n", info.kind, info.version,
               info.backends, info.path, info.bound_when, info.build_id, info.missing, info.why);
    code = nccl_redirect_use(backend);
    printf("use=%d last=%s\n", code, ncclGetLastError(NULL));
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"two", two_backends}, {"group", one_group}, {"late", late_results},
                 {"memory", memory},    {"threads", threads}, {"ask", ask}};
    backend = count > 2 ? arguments[2] : NULL;
    for (size_t i = 0; count > 1 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(arguments[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    return 2;
}
