/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NCCL that knows what it made. It is called like the folder it lies in, which begins with the version that it plays
 * (…/22809/libnccl.so.2); copies in several folders are several libraries. Each call prints "NAME Function", and "NAME
 * FOREIGN …" if it got a handle or an id of another. Handles come from malloc, one size for all, so that addresses are
 * used again.
 *
 *   OWNED_22809_GroupEnd=3    that function of that library fails with 3
 *   OWNED_LATE=group          handles are written when the group ends
 *   OWNED_LATE=thread         handles are written by another thread, 50 ms later; the call returns ncclInProgress
 *   OWNED_LATE=silent         likewise, but the call returns ncclSuccess, as ncclCommSplit does
 *   OWNED_LATE=fails          likewise, but there comes none; the communicator that it should be made of tells an error
 *
 *   OWNED_QUIET=1             calls print nothing
 *
 * Until a thread has written, ncclCommGetAsyncError of the communicator it is made of tells ncclInProgress; destroying
 * or aborting that waits for the thread.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, IN_PROGRESS = 7 };

typedef struct {
    char bytes[128];
} id;

/* First in every handle; the maker stays after free, as long as nobody else has the memory. */
struct object {
    uintptr_t pad[2]; /* malloc writes here when it is freed */
    const void *maker;
    char kind[24];
    _Atomic int busy; /* threads that write a handle made of it */
    _Atomic int error;
};

static char own_name[40];
static const char maker;
static char last_error[128];

static __thread int depth, group_error;
static __thread struct late { void **where, *handle; } late[64];
static __thread int late_count;
static __thread int in_progress; /* as NCCL, a group tells it at its end */

__attribute__((constructor)) static void find_name(void) {
    Dl_info info;
    dladdr(&maker, &info);
    char *path = realpath(info.dli_fname, NULL), *slash = path ? strrchr(path, '/') : NULL;
    if (!slash)
        return;
    *slash = '\0';
    snprintf(own_name, sizeof own_name, "%s", strrchr(path, '/') + 1);
    free(path);
}

static int fails(const char *function, int code) {
    snprintf(last_error, sizeof last_error, "%s: %s failed", own_name, function);
    if (depth > 0 && !group_error)
        group_error = code;
    return code;
}

/* Every function begins with it. */
static int called(const char *function) {
    char name[128];
    snprintf(name, sizeof name, "OWNED_%s_%s", own_name, function);
    if (!getenv("OWNED_QUIET"))
        printf("%s %s\n", own_name, function);
    int code = getenv(name) ? atoi(getenv(name)) : SUCCESS;
    return code == SUCCESS || code == IN_PROGRESS ? code : fails(function, code);
}

static int check(const char *function, const char *kind, const void *handle) {
    const struct object *object = handle;
    if (object && object->maker == &maker && strcmp(object->kind, kind) == 0)
        return SUCCESS;
    if (object)
        printf("%s FOREIGN %s\n", own_name, kind);
    return fails(function, INVALID_ARGUMENT);
}

struct written_later {
    void **where;
    struct object *handle, *parent;
};

static void *write_later(void *arg) {
    struct written_later *entry = arg;
    usleep(50000);
    if (entry->handle)
        __atomic_store_n(entry->where, entry->handle, __ATOMIC_RELEASE);
    else if (entry->parent)
        entry->parent->error = 2;
    if (entry->parent)
        entry->parent->busy--;
    free(entry);
    return NULL;
}

static int make_in_thread(void **where, struct object *handle, struct object *parent) {
    struct written_later *entry = malloc(sizeof *entry);
    pthread_t thread;
    *entry = (struct written_later){where, handle, parent};
    if (parent)
        parent->busy++;
    pthread_create(&thread, NULL, write_later, entry);
    pthread_detach(thread);
    in_progress = depth > 0;
    return depth > 0 || strcmp(getenv("OWNED_LATE"), "silent") == 0 ? SUCCESS : IN_PROGRESS;
}

static int make(const char *kind, void **where, void *parent) {
    const char *when = getenv("OWNED_LATE");
    struct object *object = malloc(sizeof *object); /* calloc takes no address that has just come free */
    memset(object, 0, sizeof *object);
    object->maker = &maker;
    snprintf(object->kind, sizeof object->kind, "%s", kind);
    if (when && strcmp(when, "group") == 0 && depth > 0) {
        late[late_count++] = (struct late){where, object};
        return SUCCESS;
    }
    if (when && parent && strcmp(when, "fails") == 0) {
        free(object);
        return make_in_thread(where, NULL, parent);
    }
    if (when && (strcmp(when, "thread") == 0 || (parent && strcmp(when, "silent") == 0)))
        return make_in_thread(where, object, parent);
    *where = object;
    return SUCCESS;
}

static int release(const char *function, const char *kind, void *handle) {
    int code = called(function);
    if (!code)
        code = check(function, kind, handle);
    while (!code && ((struct object *)handle)->busy)
        usleep(1000);
    if (!code)
        free(handle);
    return code;
}

/* ---- the functions with a meaning of their own; the rest of the table follows ---- */

#define SPECIAL_ncclGetVersion ~, 1
#define SPECIAL_ncclGetErrorString ~, 1
#define SPECIAL_ncclGetLastError ~, 1
#define SPECIAL_ncclGetUniqueId ~, 1
#define SPECIAL_ncclCommInitRank ~, 1
#define SPECIAL_ncclCommInitRankConfig ~, 1
#define SPECIAL_ncclCommInitRankScalable ~, 1
#define SPECIAL_ncclCommInitAll ~, 1
#define SPECIAL_ncclCommSplit ~, 1
#define SPECIAL_ncclCommShrink ~, 1
#define SPECIAL_ncclCommGrow ~, 1
#define SPECIAL_ncclCommDestroy ~, 1
#define SPECIAL_ncclCommAbort ~, 1
#define SPECIAL_ncclCommGetAsyncError ~, 1
#define SPECIAL_ncclMemAlloc ~, 1
#define SPECIAL_ncclMemFree ~, 1
#define SPECIAL_ncclCommWindowRegister ~, 1
#define SPECIAL_ncclCommWindowDeregister ~, 1
#define SPECIAL_ncclGroupStart ~, 1
#define SPECIAL_ncclGroupEnd ~, 1
#define SPECIAL_ncclGroupSimulateEnd ~, 1
#define SPECIAL_ncclFooInit ~, 1

int ncclGetVersion(int *version) {
    *version = atoi(own_name);
    return SUCCESS;
}

const char *ncclGetErrorString(int code) {
    static char text[96];
    snprintf(text, sizeof text, "%s knows %d", own_name, code);
    return text;
}

const char *ncclGetLastError(void *comm) {
    (void)comm;
    return last_error;
}

int ncclGetUniqueId(id *made) {
    memset(made, 0, sizeof *made);
    snprintf(made->bytes, 48, "id of %s", own_name);
    return called("GetUniqueId");
}

static int join(const char *function, void **comm, const id *given) {
    char own[48];
    int code = called(function);
    snprintf(own, sizeof own, "id of %s", own_name);
    if (!code && strcmp(given->bytes, own) != 0) {
        printf("%s FOREIGN %.40s\n", own_name, given->bytes);
        code = fails(function, INVALID_ARGUMENT);
    }
    return code ? code : make("communicator", comm, NULL);
}

int ncclCommInitRank(void **comm, int ranks, id given, int rank) {
    (void)ranks, (void)rank;
    return join("CommInitRank", comm, &given);
}

int ncclCommInitRankConfig(void **comm, int ranks, id given, int rank, void *config) {
    (void)ranks, (void)rank, (void)config;
    return join("CommInitRankConfig", comm, &given);
}

int ncclCommInitRankScalable(void **comm, int ranks, int rank, int count, id *ids, void *config) {
    (void)ranks, (void)rank, (void)config;
    return join("CommInitRankScalable", comm, &ids[count - 1]);
}

#ifdef OWNED_FOO
/* Of no NCCL: for a row that tests/test_abi_rows adds. Arguments in registers and on the stack around an id by value. */
int ncclFooInit(void **comm, int two, id given, int three, int four, int five, int six, int seven, int eight,
                int nine) {
    if (two != 2 || three != 3 || four != 4 || five != 5 || six != 6 || seven != 7 || eight != 8 || nine != 9)
        return fails("FooInit", INVALID_ARGUMENT);
    return join("FooInit", comm, &given);
}
#endif

int ncclCommInitAll(void **comms, int count, const int *devices) {
    int code = called("CommInitAll");
    (void)devices;
    for (int i = 0; !code && i < count; i++)
        code = make("communicator", &comms[i], NULL);
    return code;
}

static int extend(const char *function, void *comm, void **made) {
    int code = called(function);
    if (!code)
        code = check(function, "communicator", comm);
    return code || !made ? code : make("communicator", made, comm);
}

int ncclCommSplit(void *comm, int color, int key, void **made, void *config) {
    (void)key, (void)config;
    return extend("CommSplit", comm, color < 0 ? NULL : made);
}

int ncclCommShrink(void *comm, int *excluded, int count, void **made, void *config, int flags) {
    (void)excluded, (void)count, (void)config, (void)flags;
    return extend("CommShrink", comm, made);
}

int ncclCommGrow(void *comm, int ranks, const id *given, int rank, void **made, void *config) {
    (void)ranks, (void)rank, (void)config;
    return comm ? extend("CommGrow", comm, made) : join("CommGrow", made, given);
}

int ncclCommDestroy(void *comm) {
    return release("CommDestroy", "communicator", comm);
}

int ncclCommAbort(void *comm) {
    return release("CommAbort", "communicator", comm);
}

int ncclCommGetAsyncError(void *comm, int *state) {
    struct object *object = comm;
    int code = called("CommGetAsyncError");
    if (!code)
        code = check("CommGetAsyncError", "communicator", comm);
    if (!code && state)
        *state = object->busy ? IN_PROGRESS : object->error;
    return code;
}

int ncclMemAlloc(void **pointer, size_t size) {
    int code = called("MemAlloc");
    (void)size;
    return code ? code : make("memory", pointer, NULL);
}

int ncclMemFree(void *pointer) {
    return release("MemFree", "memory", pointer);
}

int ncclCommWindowRegister(void *comm, void *buffer, size_t size, void **window, int flags) {
    int code = called("CommWindowRegister");
    (void)buffer, (void)size, (void)flags;
    if (!code)
        code = check("CommWindowRegister", "communicator", comm);
    return code || !window ? code : make("window", window, comm);
}

int ncclCommWindowDeregister(void *comm, void *window) {
    int code = release("CommWindowDeregister", "window", window);
    return code ? code : check("CommWindowDeregister", "communicator", comm);
}

int ncclGroupStart(void) {
    depth++;
    return called("GroupStart");
}

static int end(const char *function) {
    int code = called(function);
    if (depth == 0)
        return fails(function, INVALID_USAGE);
    if (--depth > 0)
        return code;
    if (group_error)
        printf("%s launches nothing\n", own_name);
    for (int i = 0; !group_error && i < late_count; i++)
        *late[i].where = late[i].handle;
    code = group_error ? group_error : in_progress ? IN_PROGRESS : code;
    late_count = group_error = in_progress = 0;
    return code;
}

int ncclGroupEnd(void) {
    return end("GroupEnd");
}

int ncclGroupSimulateEnd(void *info) {
    if (info)
        ((float *)info)[4] = (float)(atoi(own_name) % 100);
    return end("GroupSimulateEnd");
}

/* ---- the others, by their rows: check the communicator, window or memory, make what they make ---- */

typedef uintptr_t word;

#define SIXTEEN(name)                                                                                                  \
    name##0, name##1, name##2, name##3, name##4, name##5, name##6, name##7, name##8, name##9, name##10, name##11,      \
        name##12, name##13, name##14, name##15

enum route { SIXTEEN(COMM), WINDOW, MEMORY, CREATE, THREAD, ALL };
enum makes { NOTHING, BEFORE_NEW = 15, SIXTEEN(NEW_COMM), SIXTEEN(NEW_WINDOW), SIXTEEN(NEW_MEMORY) };

static int by_row(const char *function, enum route route, enum makes makes, const word a[16]) {
    static const char *const kinds[] = {"communicator", "window", "memory"};
    int code = called(function);
    if (!code && route <= COMM15)
        code = check(function, "communicator", (void *)a[route]);
    if (!code && (route == WINDOW || route == MEMORY))
        code = check(function, route == WINDOW ? "window" : "memory", (void *)a[0]);
    return code || makes == NOTHING
               ? code
               : make(kinds[makes / 16 - 1], (void **)a[makes % 16], route <= COMM15 ? (void *)a[route] : NULL);
}

#define DEFINE(name, route, makes)                                                                                     \
    int name(word, word, word, word, word, word, word, word, word, word, word, word, word, word, word, word);          \
    int name(word a0, word a1, word a2, word a3, word a4, word a5, word a6, word a7, word a8, word a9, word a10,       \
             word a11, word a12, word a13, word a14, word a15) {                                                       \
        return by_row(#name + 4, route, makes, (const word[]){SIXTEEN(a)});                                            \
    }

#define SECOND(a, b, ...) b
#define IS_SPECIAL(...) SECOND(__VA_ARGS__, 0, 0)
#define ROW_0(name, route, makes) DEFINE(name, route, makes)
#define ROW_1(name, route, makes)
#define ROW_(special, name, route, makes) ROW_##special(name, route, makes)
#define ROW(special, name, route, makes) ROW_(special, name, route, makes)
#define XX(name, since, result, route, makes) ROW(IS_SPECIAL(SPECIAL_##name), name, route, makes)
#define RCCL_XX(name, since, result, route, makes)
#include "../../abi/nccl_api.def"
