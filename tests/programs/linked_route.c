/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that chooses per communicator (include/nccl_redirect.h), linked with NCCL. Prints what it found, one line
 * per fact.
 *
 * usage: linked_route CASE BACKEND      BACKEND is what nccl_redirect_use() is asked for
 */
#include "../../include/nccl_redirect.h"
#include "../support/nccl_id.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void *worker(void *arg) {
    for (int round = 0; round < 20; round++) {
        ncclComm_t comms[RANKS];
        const char *choice = ((size_t)arg + (size_t)round) % 2 ? backend : NULL;
        make(choice, comms);
        if (!all_reduce_right(comms) || (version_of(comms[0]) == version_of(NULL)) != !choice) {
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

/* ---- two processes, each a rank of a communicator on either backend ---- */

/* Rank 0 makes the id and leaves it in a file. */
static ncclUniqueId shared_id(const char *folder, int rank, const char *name) {
    char path[256], draft[256];
    ncclUniqueId id;
    FILE *file = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(draft, sizeof draft, "%s/%s.draft", folder, name);
    if (rank == 0) {
        CHECK(ncclGetUniqueId(&id));
        file = fopen(draft, "w");
        fwrite(&id, sizeof id, 1, file);
        fclose(file);
        rename(draft, path);
        return id;
    }
    while (!(file = fopen(path, "r")))
        usleep(1000);
    if (fread(&id, sizeof id, 1, file) != 1)
        exit(1);
    fclose(file);
    return id;
}

/*
 * In each group the ranks call the backends in opposite order: only the order of ends keeps them from waiting for each
 * other.
 */
static int rank_main(const char *folder, int rank) {
    enum { ROUNDS = 50 };
    ncclComm_t comms[2];
    const char *choices[2] = {getenv("ONE"), getenv("OTHER")}, *names[2] = {"one", "other"};
    for (int i = 0; i < 2; i++) {
        CHECK(nccl_redirect_use(choices[i]));
        ncclUniqueId id = shared_id(folder, rank, names[i]);
        CHECK(ncclCommInitRank(&comms[i], RANKS, id, rank));
    }
    for (int round = 0; round < ROUNDS; round++) {
        int from[2] = {round + rank, 100 + round + rank}, to[2] = {-1, -1};
        CHECK(ncclGroupStart());
        for (int i = 0; i < 2; i++) {
            int which = i ^ rank ^ (round & 1);
            CHECK(ncclAllReduce(&from[which], &to[which], 1, ncclInt32, ncclSum, comms[which], NULL));
        }
        CHECK(ncclGroupEnd());
        if (to[0] != 2 * round + 1 || to[1] != 200 + 2 * round + 1) {
            printf("rank %d round %d: %d %d\n", rank, round, to[0], to[1]);
            return 1;
        }
    }
    printf("rank %d: %d then %d, %d rounds\n", rank, version_of(comms[0]), version_of(comms[1]), ROUNDS);
    CHECK(ncclCommDestroy(comms[0]));
    CHECK(ncclCommDestroy(comms[1]));
    return 0;
}

/* With another default in each process: who opened which first does not matter. */
static void ranks(void) {
    char folder[] = "/tmp/ncr-ranks-XXXXXX", number[2] = "0";
    pid_t children[RANKS];
    int failed = 0, status;
    if (!mkdtemp(folder))
        exit(1);
    setenv("ONE", getenv("NCCL_REDIRECT"), 1);
    setenv("OTHER", backend, 1);
    for (int rank = 0; rank < RANKS; rank++) {
        number[0] = (char)('0' + rank);
        if (rank > 0)
            setenv("NCCL_REDIRECT", backend, 1);
        if ((children[rank] = fork()) == 0) {
            execl("/proc/self/exe", "linked_route", "rank", folder, number, NULL);
            _exit(127);
        }
    }
    for (int rank = 0; rank < RANKS; rank++) {
        waitpid(children[rank], &status, 0);
        failed |= status;
    }
    for (int i = 0; i < 2; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, i ? "other" : "one");
        unlink(path);
    }
    rmdir(folder);
    printf("ranks %s\n", failed ? "failed" : "done");
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"two", two_backends}, {"group", one_group}, {"late", late_results}, {"threads", threads}, {"ranks", ranks}};
    backend = count > 2 ? arguments[2] : NULL;
    if (count > 3)
        return rank_main(arguments[2], atoi(arguments[3]));
    for (size_t i = 0; count > 1 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(arguments[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    return 2;
}
