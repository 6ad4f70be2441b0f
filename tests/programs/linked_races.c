/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads at whatever the preload publishes: the first use, a binding after NCCL was disabled, handles of two
 * backends, pending handles, forks meanwhile. Each thread checks its answers. For ThreadSanitizer (make check-tsan) and
 * without it.
 *
 * usage: linked_races first|disabled|two|pending|forks|race [BACKEND]
 *        BACKEND: the second one; for "disabled" the only one
 */
#include "../../include/nccl_redirect.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char bytes[128];
} id;
typedef void *comm;

struct config { /* ncclConfig_t of 2.18 */
    size_t size;
    unsigned magic, version;
    int blocking, undefined[3];
    const char *net;
    int split_share;
};

int ncclGetVersion(int *);
int ncclGetUniqueId(id *);
const char *ncclGetErrorString(int);
const char *ncclGetLastError(comm);
int ncclCommInitRankConfig(comm *, int, id, int, void *);
int ncclCommSplit(comm, int, int, comm *, void *);
int ncclCommGetAsyncError(comm, int *);
int ncclCommCount(comm, int *);
int ncclCommDestroy(comm);
int ncclCommAbort(comm);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclMemAlloc(void **, size_t);
int ncclMemFree(void *);

/* For backends too old for ncclMemAlloc. */
int cudaMalloc(void **, size_t);
int cudaFree(void *);
int cudaMalloc(void **pointer, size_t size) {
    return !(*pointer = malloc(size));
}
int cudaFree(void *pointer) {
    free(pointer);
    return 0;
}

static const char *backend;
static pthread_barrier_t start;
static atomic_int wrong;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: not %s (%s)\n", __FILE__, __LINE__, #condition, ncclGetLastError(NULL));                    \
            wrong++;                                                                                                   \
        }                                                                                                              \
    } while (0)

static comm make(const char *choice, int blocking) {
    struct config config = {sizeof config, 0xcafebeef, 21803, blocking, {INT32_MIN, INT32_MIN, INT32_MIN},
                            NULL,          INT32_MIN};
    comm made = NULL;
    id unique;
    int state = 7, code;
    CHECK(nccl_redirect_use(choice) == 0);
    CHECK(ncclGetUniqueId(&unique) == 0);
    code = ncclCommInitRankConfig(&made, 1, unique, 0, &config);
    CHECK(code == 0 || code == 7);
    while (made && state == 7)
        CHECK(ncclCommGetAsyncError(made, &state) == 0);
    return made;
}

static int is_of(comm handle, const char *path) {
    struct nccl_redirect_info info = {.size = sizeof info};
    return nccl_redirect_info(handle, &info) == 0 &&
           (path ? strcmp(info.path, path) == 0 : strcmp(info.path, backend) != 0);
}

/* ThreadSanitizer takes what dlclose frees under the loader's lock for a race, and its report can wait for that lock. */
static void load_another(int rounds) {
    for (int i = 0; i < rounds; i++) {
        void *handle = dlopen("libutil.so.1", RTLD_NOW);
#ifndef __SANITIZE_THREAD__
        if (handle)
            dlclose(handle);
#else
        (void)handle;
#endif
    }
}

static void *first_use(void *arg) {
    size_t number = (size_t)arg;
    int version = 0;
    char reason[256];
    void *handle;
    pthread_barrier_wait(&start);
    switch (number % 8) {
    case 0:
        CHECK(strcmp(ncclGetErrorString(0), "no error") == 0);
        break;
    case 1:
        CHECK(ncclGetLastError(NULL) != NULL);
        break;
    case 2:
        CHECK((handle = dlopen("libnccl.so.2", RTLD_NOW)) && dlsym(handle, "ncclGetVersion"));
        break;
    case 3:
        CHECK(is_of(NULL, NULL));
        break;
    case 4:
        nccl_redirect_available("system", reason, sizeof reason);
        break;
    case 5:
        load_another(50);
        break;
    case 6:
        CHECK((handle = make(NULL, 1)) && ncclCommDestroy(handle) == 0);
        break;
    default:
        CHECK((handle = make(backend, 1)) && is_of(handle, backend) && ncclCommDestroy(handle) == 0);
    }
    CHECK(ncclGetVersion(&version) == 0 && version > 20000);
    return NULL;
}

/* NCCL is disabled until a thread opens a file by its path; meanwhile calls fail, or are answered by that file. */
static void *disabled(void *arg) {
    size_t number = (size_t)arg;
    int version = 0;
    pthread_barrier_wait(&start);
    for (int i = 0; i < 200; i++) {
        if (number % 4 == 0 && i == 100)
            CHECK(dlopen(backend, RTLD_NOW) != NULL);
        struct nccl_redirect_info info = {.size = sizeof info};
        CHECK(nccl_redirect_info(NULL, &info) == 0 && (*info.path || *info.why));
        int code = ncclGetVersion(&version);
        CHECK((code == 0 && version > 20000) || (code == 2 && ncclGetLastError(NULL)));
        CHECK(ncclGetErrorString(0) != NULL);
        id unique;
        code = ncclGetUniqueId(&unique);
        CHECK(code == 0 || code == 2);
    }
    CHECK(number % 4 != 0 || ncclGetVersion(&version) == 0);
    return NULL;
}

static void *two(void *arg) {
    for (size_t round = 0; round < 20; round++) {
        const char *choice = ((size_t)arg + round) % 2 ? backend : NULL;
        void *memory = NULL;
        comm handle = make(choice, 1);
        int count = 0;
        CHECK(ncclMemAlloc(&memory, 64) == 0);
        CHECK(is_of(handle, choice) && ncclCommCount(handle, &count) == 0 && count == 1);
        CHECK(ncclMemFree(memory) == 0);
        CHECK(ncclCommDestroy(handle) == 0);
    }
    return NULL;
}

/* The handle in a variable that is used for something else at once. */
static comm wait_for(comm parent, comm *variable, size_t way) {
    int state = 7;
    if (way % 2)
        while (state == 7)
            CHECK(ncclCommGetAsyncError(parent, &state) == 0);
    while (!__atomic_load_n(variable, __ATOMIC_ACQUIRE))
        usleep(10);
    comm handle = *variable;
    *variable = parent;
    return handle;
}

static void *pending(void *arg) {
    size_t number = (size_t)arg;
    const char *choice = number % 2 ? backend : NULL;
    comm parent = make(choice, 0), variable = NULL, child;
    for (size_t round = 0; round < 20; round++) {
        int group = (number + round) % 3 == 0;
        int count = 0, state = 7;
        CHECK(!group || ncclGroupStart() == 0);
        int code = ncclCommSplit(parent, 0, 0, &variable, NULL);
        CHECK(code == 0 || code == 7);
        code = group ? ncclGroupEnd() : 0;
        CHECK(code == 0 || code == 7);
        child = wait_for(parent, &variable, number / 2 + round);
        CHECK(is_of(child, choice));
        while (state == 7)
            CHECK(ncclCommGetAsyncError(parent, &state) == 0);
        CHECK(ncclCommCount(child, &count) == 0 && count == 1);
        CHECK((round % 2 ? ncclCommAbort : ncclCommDestroy)(child) == 0);
        CHECK(variable == parent);
        code = ncclCommSplit(parent, -1, 0, &variable, NULL);
        CHECK(code == 0 || code == 7);
        for (state = 7; state == 7;)
            CHECK(ncclCommGetAsyncError(parent, &state) == 0);
        variable = parent;
    }
    variable = NULL;
    CHECK(ncclCommSplit(parent, 0, 0, &variable, NULL) % 7 == 0);
    CHECK(ncclCommAbort(parent) == 0);
    return NULL;
}

static void run_threads(void *(*code)(void *), size_t threads) {
    pthread_t thread[64];
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (size_t i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, code, (void *)i);
    for (size_t i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
}

static void in_child(void) {
    int version = 0, before = wrong;
    alarm(20);
    CHECK(ncclGetVersion(&version) == 0 && version > 20000);
/* The sanitizers cannot follow threads that such a child starts: the lock of their list may be held for ever. */
#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
    comm handle = make(backend, 1);
    CHECK(is_of(handle, backend));
    CHECK(ncclCommDestroy(handle) == 0);
#endif
    fflush(stdout);
    _exit(wrong != before);
}

static atomic_int forks_done;

static void *fork_many(void *arg) {
    for (int i = 0; i < 100; i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0)
            in_child();
        if (child < 0)
            printf("no fork: %s\n", strerror(errno));
        CHECK(waitpid(child, &status, 0) == child);
        if (status != 0)
            printf("a child ended with status %#x\n", status);
        CHECK(status == 0);
    }
    forks_done++;
    return arg;
}

static void *make_until_forks_are_done(void *arg) {
    while (!forks_done) {
        two(arg);
        load_another(1);
    }
    return NULL;
}

static void *fork_or_make(void *arg) {
    pthread_barrier_wait(&start);
    return (size_t)arg == 0 ? fork_many(arg) : make_until_forks_are_done(arg);
}

/* A race of the program itself, so that it can be seen that races are found. */
static void *race(void *arg) {
    static int unprotected;
    pthread_barrier_wait(&start);
    unprotected += (int)(size_t)arg;
    return NULL;
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void *(*code)(void *);
        size_t threads;
    } cases[] = {
        {"first", first_use, 64}, {"disabled", disabled, 32}, {"two", two, 64},
        {"pending", pending, 32}, {"forks", fork_or_make, 8}, {"race", race, 2},
    };
    alarm(240);
    backend = count > 2 ? arguments[2] : NULL;
    for (size_t i = 0; count > 1 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(arguments[1], cases[i].name) == 0) {
            run_threads(cases[i].code, cases[i].threads);
            printf("%s: %s\n", cases[i].name, wrong ? "wrong" : "done");
            return wrong != 0;
        }
    return 2;
}
