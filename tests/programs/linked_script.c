/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program linked with NCCL that does what its arguments say, one call each, and prints each call's result. Handles
 * are named by small letters; those that a call makes come last. Calls of nccl_redirect.h are among them.
 *
 * usage: linked_script STEP...          STEP is NAME or NAME:ARGUMENT or NAME:ARGUMENT,ARGUMENT (the table near the end);
 *                                       $B as the first argument is that environment variable
 */
#include "../../include/nccl_redirect.h"
#include "../support/nccl_id.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct config { /* ncclConfig_t of 2.27, the fields that matter */
    size_t size;
    unsigned magic, version;
    int others[8];
    const char *comm_name;
    int more[4];
};

struct simulation { /* ncclSimInfo_t */
    size_t size;
    unsigned magic, version;
    float seconds;
};

int ncclGetVersion(int *version);
int ncclGetUniqueId(ncclUniqueId *id);
const char *ncclGetLastError(void *comm);
const char *ncclGetErrorString(int code);
int ncclCommInitRank(void **comm, int ranks, ncclUniqueId id, int rank);
int ncclCommInitRankConfig(void **comm, int ranks, ncclUniqueId id, int rank, void *config);
int ncclCommInitRankScalable(void **comm, int ranks, int rank, int count, ncclUniqueId *ids, void *config);
int ncclCommInitAll(void **comms, int count, const int *devices);
int ncclCommSplit(void *comm, int color, int key, void **made, void *config);
int ncclCommShrink(void *comm, int *excluded, int count, void **made, void *config, int flags);
int ncclCommGrow(void *comm, int ranks, const ncclUniqueId *id, int rank, void **made, void *config);
int ncclCommGetUniqueId(void *comm, ncclUniqueId *id);
int ncclCommCount(void *comm, int *count);
int ncclCommGetAsyncError(void *comm, int *state);
int ncclCommDestroy(void *comm);
int ncclCommAbort(void *comm);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclGroupSimulateEnd(struct simulation *info);
int ncclMemAlloc(void **pointer, size_t size);
int ncclMemFree(void *pointer);
int ncclCommWindowRegister(void *comm, void *buffer, size_t size, void **window, int flags);
int ncclCommWindowDeregister(void *comm, void *window);
int ncclGetLsaDevicePointer(void *window, size_t offset, int rank, void **pointer);
void ncclResetDebugInit(void);
int ncclSetEncryption(const void *config);
int ncclParamBind(void **parameter, const char *name);

static void *handles[256];
static ncclUniqueId id;
static int number[8] = {1, 2, 3, 4, 5, 6, 7, 8};

struct step {
    char *first, *second; /* "" where there is none */
};

static void *of(const char *letter) {
    return handles[(unsigned char)*letter];
}

static void **to(const char *letter) {
    return &handles[(unsigned char)*letter];
}

static struct config named(const char *name) {
    return (struct config){sizeof(struct config), 0xcafebeef, 22703, {[0] = 1, [6] = -1}, name, {0}};
}

static int use(struct step s) {
    return nccl_redirect_use(*s.first ? s.first : NULL);
}

static int info(struct step s) {
    struct nccl_redirect_info info = {.size = sizeof info};
    int code = nccl_redirect_info(*s.first ? of(s.first) : NULL, &info);
    if (code == 0)
        printf("version=%d backends=%d kind=%s bound=%s path=%s missing=%s why=%s\n", info.version, info.backends,
               info.kind, info.bound_when, info.path, info.missing, info.why);
    return code;
}

static int available(struct step s) {
    char reason[4096] = "";
    int answer = nccl_redirect_available(s.first, reason, sizeof reason);
    printf("reason=%s\n", reason);
    return answer;
}

static int make_id(struct step s) {
    (void)s;
    return ncclGetUniqueId(&id);
}

static int init(struct step s) {
    return ncclCommInitRank(to(s.first), 1, id, 0);
}

static int init_named(struct step s) {
    struct config config = named(s.second);
    return ncclCommInitRankConfig(to(s.first), 1, id, 0, &config);
}

static int init_scalable(struct step s) {
    struct config config = named(s.second);
    return ncclCommInitRankScalable(to(s.first), 1, 0, 1, &id, &config);
}

static int init_all(struct step s) {
    return ncclCommInitAll(to(s.first), 1, NULL);
}

static int split(struct step s) {
    return ncclCommSplit(of(s.first), 0, 0, to(s.second), NULL);
}

static int split_none(struct step s) {
    return ncclCommSplit(of(s.first), -1, 0, to(s.second), NULL);
}

static int shrink(struct step s) {
    return ncclCommShrink(of(s.first), NULL, 0, to(s.second), NULL, 0);
}

static int grow(struct step s) {
    return ncclCommGrow(of(s.first), 2, &id, -1, to(s.second), NULL);
}

static int join_grown(struct step s) {
    return ncclCommGrow(NULL, 2, &id, 1, to(s.first), NULL);
}

static int make_id_of(struct step s) {
    return ncclCommGetUniqueId(of(s.first), &id);
}

static int count(struct step s) {
    int ranks;
    return ncclCommCount(of(s.first), &ranks);
}

/* The state of a communicator. */
static int state_of(struct step s) {
    int state = -1, code = ncclCommGetAsyncError(of(s.first), &state);
    return code ? code : state;
}

/*
 * Splits, and waits as the manual says until the parent has nothing in progress; then the handle is there at once.
 * Returns how often it was not.
 */
static int split_and_wait(struct step s) {
    int missing = 0;
    for (int i = 0; i < 20; i++) {
        int code = ncclCommSplit(of(s.first), 0, 0, to(s.second), NULL);
        for (int state = 7; !code && state == 7;)
            code = ncclCommGetAsyncError(of(s.first), &state);
        missing += code || !of(s.second);
    }
    return missing;
}

/* Look at the variable alone. */
static int poll(struct step s) {
    for (int i = 0; i < 5000 && !__atomic_load_n(to(s.first), __ATOMIC_ACQUIRE); i++)
        usleep(1000);
    return of(s.first) != NULL;
}

/* Keep the handle elsewhere, and have its variable hold something else. */
static int take(struct step s) {
    *to(s.second) = of(s.first);
    *to(s.first) = &number;
    return 0;
}

/* A split whose variable is in memory that the program gives back as soon as it sees the handle. */
static int split_unmapped(struct step s) {
    void **page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int code = ncclCommSplit(of(s.first), 0, 0, page, NULL);
    for (int i = 0; i < 5000 && !__atomic_load_n(page, __ATOMIC_ACQUIRE); i++)
        usleep(1000);
    *to(s.second) = *page;
    munmap(page, 4096);
    return code;
}

static int destroy(struct step s) {
    return ncclCommDestroy(of(s.first));
}

static int abort_comm(struct step s) {
    return ncclCommAbort(of(s.first));
}

static int reduce(struct step s) {
    return ncclAllReduce(&number[0], &number[4], 1, 2, 0, of(s.first), NULL);
}

static int start(struct step s) {
    (void)s;
    return ncclGroupStart();
}

static int end(struct step s) {
    (void)s;
    return ncclGroupEnd();
}

static int simulate(struct step s) {
    struct simulation simulation = {sizeof simulation, 0x74685283, 22703, -1};
    (void)s;
    int code = ncclGroupSimulateEnd(&simulation);
    printf("estimate=%.0f\n", simulation.seconds);
    return code;
}

static int version(struct step s) {
    int answer = 0;
    (void)s;
    return ncclGetVersion(&answer) ? -1 : answer;
}

static int last(struct step s) {
    printf("last=%s\n", ncclGetLastError(*s.first ? of(s.first) : NULL));
    return 0;
}

static int text_of(struct step s) {
    printf("%s\n", ncclGetErrorString(atoi(s.first)));
    return 0;
}

static int allocate(struct step s) {
    return ncclMemAlloc(to(s.first), 64);
}

static int release(struct step s) {
    return ncclMemFree(of(s.first));
}

static int window(struct step s) {
    return ncclCommWindowRegister(of(s.first), number, sizeof number, to(s.second), 0);
}

static int window_pointer(struct step s) {
    void *pointer;
    return ncclGetLsaDevicePointer(of(s.first), 0, 0, &pointer);
}

static int window_end(struct step s) {
    return ncclCommWindowDeregister(of(s.first), of(s.second));
}

static int reset(struct step s) {
    (void)s;
    ncclResetDebugInit();
    return 0;
}

static int encrypt(struct step s) {
    (void)s;
    return ncclSetEncryption(number);
}

static int parameter(struct step s) {
    void *made;
    (void)s;
    return ncclParamBind(&made, "NAME");
}

static int same(struct step s) {
    return of(s.first) == of(s.second);
}

static int copy(struct step s) {
    *to(s.second) = of(s.first);
    return 0;
}

/* As memory that is freed by another than its own function. */
static int release_otherwise(struct step s) {
    free(of(s.first));
    return 0;
}

/* Calls all functions of the table that take a communicator (not those that make or destroy), by both names. */
static int rows(struct step s) {
    enum { COMM0, COMM1, COMM2, COMM3, COMM4, COMM5, COMM6, COMM7, COMM8, COMM9, COMM10, COMM11, COMM12 };
    enum { COMM13 = COMM12 + 1, COMM14, COMM15, OTHER, WINDOW = OTHER, CREATE, THREAD, MEMORY, GROUP, ALL, WHY };
    static const char *const left_out =
        " ncclCommSplit ncclCommShrink ncclCommDestroy ncclCommAbort ncclCommGetUniqueId ";
    static const struct {
        const char *name;
        int at;
    } functions[] = {
#define XX(name, since, result, route, makes) {#name, route}, {"p" #name, route},
#define RCCL_XX(name, since, result, route, makes)
#include "../../abi/nccl_api.def"
    };
    int calls = 0;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        char word[64];
        snprintf(word, sizeof word, " %s ", functions[i].name + (functions[i].name[0] == 'p'));
        uintptr_t a[16] = {0};
        union {
            void *symbol;
            int (*function)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                            uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
        } call = {dlsym(RTLD_DEFAULT, functions[i].name)};
        if (functions[i].at >= OTHER || strstr(left_out, word) || !call.symbol)
            continue;
        a[functions[i].at] = (uintptr_t)of(s.first);
        call.function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14],
                      a[15]);
        calls++;
    }
    return calls;
}

/* By a handle of that path: which library answers? */
static int open_path(struct step s) {
    int answer = -1;
    union {
        void *symbol;
        int (*function)(int *);
    } get;
    void *handle = dlopen(s.first, RTLD_NOW);
    if (!handle) {
        printf("dlerror=%s\n", dlerror());
        return -1;
    }
    get.symbol = dlsym(handle, "ncclGetVersion");
    get.function(&answer);
    return answer;
}

/* A communicator that a library makes (tests/libraries/linked_maker.c). */
static int from_library(struct step s) {
    union {
        void *symbol;
        int (*function)(void **);
    } make;
    void *handle = dlopen(s.first, RTLD_NOW);
    if (!handle) {
        printf("dlerror=%s\n", dlerror());
        return -1;
    }
    make.symbol = dlsym(handle, "maker_make");
    return make.function(to(s.second));
}

/* In which file does a call of that name end? Its entry is one jump through a slot. */
static int slot(struct step s) {
#if defined(__x86_64__)
    const unsigned char *entry = dlsym(RTLD_DEFAULT, s.first);
    Dl_info info = {0};
    int distance;
    void **slot;
    if (!entry || entry[0] != 0xff || entry[1] != 0x25) /* jmp *distance(%rip) */
        return -1;
    memcpy(&distance, entry + 2, sizeof distance);
    slot = (void **)(entry + 6 + distance);
    dladdr(*slot, &info);
    printf("jumps to %s\n", info.dli_fname);
    return 0;
#else
    (void)s;
    return -1;
#endif
}

/* Where do the calls end that the library of this path makes to NCCL's functions through its table of addresses? */
struct calls {
    const char *path;
    int inside, outside;
};

static int look_inside(struct dl_phdr_info *info, size_t size, void *arg) {
    struct calls *calls = arg;
    const Elf64_Dyn *dynamic = NULL;
    const Elf64_Sym *symbols = NULL;
    const Elf64_Rela *jumps = NULL;
    const char *strings = NULL;
    size_t bytes = 0;
    (void)size;
    if (strcmp(info->dlpi_name, calls->path) != 0)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const Elf64_Dyn *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = (const Elf64_Sym *)dynamic->d_un.d_ptr;
        else if (dynamic->d_tag == DT_STRTAB)
            strings = (const char *)dynamic->d_un.d_ptr;
        else if (dynamic->d_tag == DT_JMPREL)
            jumps = (const Elf64_Rela *)dynamic->d_un.d_ptr;
        else if (dynamic->d_tag == DT_PLTRELSZ)
            bytes = dynamic->d_un.d_val;
    }
    for (; bytes > 0; bytes -= sizeof *jumps, jumps++) {
        Dl_info target;
        const char *name = strings + symbols[ELF64_R_SYM(jumps->r_info)].st_name;
        if (strncmp(name, "nccl", 4) != 0 || !dladdr(*(void **)(info->dlpi_addr + jumps->r_offset), &target))
            continue;
        if (strcmp(target.dli_fname, calls->path) == 0)
            calls->inside++;
        else
            calls->outside++;
    }
    return 1;
}

static int inside(struct step s) {
    struct calls calls = {s.first, 0, 0};
    dl_iterate_phdr(look_inside, &calls);
    printf("calls of its own: %s\n", calls.inside > 0 ? "some" : "none");
    return calls.outside;
}

static int wait_a_little(struct step s) {
    (void)s;
    usleep(120000);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct step s);
} steps[] = {
    {"use", use},
    {"info", info},
    {"available", available},
    {"id", make_id},
    {"init", init},
    {"named", init_named},
    {"all", init_all},
    {"scalable", init_scalable},
    {"split", split},
    {"nocolor", split_none},
    {"shrink", shrink},
    {"grow", grow},
    {"joingrown", join_grown},
    {"count", count},
    {"state", state_of},
    {"splitwait", split_and_wait},
    {"poll", poll},
    {"take", take},
    {"unmapped", split_unmapped},
    {"destroy", destroy},
    {"abort", abort_comm},
    {"reduce", reduce},
    {"start", start},
    {"end", end},
    {"simulate", simulate},
    {"version", version},
    {"last", last},
    {"text", text_of},
    {"alloc", allocate},
    {"free", release},
    {"window", window},
    {"pointer", window_pointer},
    {"unwindow", window_end},
    {"reset", reset},
    {"encrypt", encrypt},
    {"param", parameter},
    {"same", same},
    {"copy", copy},
    {"freeother", release_otherwise},
    {"rows", rows},
    {"dlopen", open_path},
    {"wait", wait_a_little},
    {"commid", make_id_of},
    {"from", from_library},
    {"slot", slot},
    {"inside", inside},
};

static void run_step(const char *text) {
    static char empty[] = "";
    char *copy = strdup(text), *colon = strchr(copy, ':'), *comma = colon ? strchr(colon, ',') : NULL;
    struct step step = {colon ? colon + 1 : empty, comma ? comma + 1 : empty};
    if (colon)
        *colon = '\0';
    if (comma)
        *comma = '\0';
    if (step.first[0] == '$')
        step.first = getenv(step.first + 1);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (strcmp(steps[i].name, copy) == 0) {
            int result = steps[i].run(step);
            printf("%s=%d\n", text, result);
            fflush(stdout);
            free(copy);
            return;
        }
    printf("no step \"%s\"\n", text);
    exit(2);
}

/* "@" before a step: another thread, which waits for its next step until this one's is done. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const char *task;

static void *other_thread(void *arg) {
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (!task)
            pthread_cond_wait(&changed, &mutex);
        run_step(task);
        task = NULL;
        pthread_cond_broadcast(&changed);
    }
    return arg;
}

static void run_in_other(const char *text) {
    static pthread_t thread;
    if (!thread)
        pthread_create(&thread, NULL, other_thread, NULL);
    pthread_mutex_lock(&mutex);
    task = text;
    pthread_cond_broadcast(&changed);
    while (task)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

int main(int count_of, char **arguments) {
    for (int i = 1; i < count_of; i++)
        if (arguments[i][0] == '@')
            run_in_other(arguments[i] + 1);
        else
            run_step(arguments[i]);
    return 0;
}
