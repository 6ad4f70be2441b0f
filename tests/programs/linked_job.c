/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job of several ranks, each a forked process that makes the calls it is told.
 *
 * usage: linked_job RANKS [ms=TIME] RANKS_OF=CALL[,CALL…]…       RANKS_OF: "all", "3" or "0-2"; a rank makes the calls of
 *                                                     every argument that is for it, in order
 *   init       ncclCommInitRank of all ranks: communicator 0
 *   ar:C:N     ncclAllReduce of N floats on communicator C; bc:C:N:ROOT, rd:C:N:ROOT, ag:C:N, rs:C:N, mx:C:N (maximum)
 *   ard:C:N    the same of doubles
 *   s:C:N:PEER r:C:N:PEER   ncclSend, ncclRecv
 *   gs ge      ncclGroupStart, ncclGroupEnd
 *   split:C:COLOR   the next communicator (-1: takes part without a color)
 *   nbinit     init without blocking, waited for as the manual says; what is made of such a communicator is so too
 *   wait:C     until nothing is in progress on it
 *   vsplit:C:COLOR  split into a variable that is used for something else then
 *   on:S       later calls are on the stream with that number for a handle; 0: the default stream
 *   use        what is created from here on is of the NCCL that the environment names in B
 *   other      ncclCommInitRank of all ranks, by an id that rank 0 makes now: the next communicator
 *   pair:A:B   ncclCommInitRank of ranks A and B alone: the next communicator of both
 *   destroy:C abort:C sleep:MS kill stop exit quit segv
 *   CALL*N     N times
 * Prints "rank R pid P" for each rank, and "done" for a rank that came to its end. Ends when all ranks have, or after
 * ms=TIME, with exit code 3 if some had to be killed.
 */
#include "../../include/nccl_redirect.h"
#include "../support/nccl_id.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int ncclGetUniqueId(ncclUniqueId *id);
int ncclCommInitRank(void **comm, int ranks, ncclUniqueId id, int rank);
int ncclCommInitRankConfig(void **comm, int ranks, ncclUniqueId id, int rank, void *config);
int ncclCommGetAsyncError(void *comm, int *state);
int ncclCommSplit(void *comm, int color, int key, void **made, void *config);
int ncclCommDestroy(void *comm);
int ncclCommAbort(void *comm);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);
int ncclReduceScatter(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);
int ncclAllGather(const void *from, void *to, size_t count, int type, void *comm, void *stream);
int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, void *comm, void *stream);
int ncclReduce(const void *from, void *to, size_t count, int type, int op, int root, void *comm, void *stream);
int ncclSend(const void *from, size_t count, int type, int peer, void *comm, void *stream);
int ncclRecv(void *to, size_t count, int type, int peer, void *comm, void *stream);

enum { MOST = 16, FLOAT = 7, DOUBLE = 8, SUM = 0, MAX = 2 };

static ncclUniqueId *ids; /* shared: ids[0] of all ranks, ids[1 + 16 * a + b] of a pair; `other`: made later */
static struct {
    int made; /* written last */
    ncclUniqueId id;
} * others;
static void *stream;
static void *comms[MOST];
static int comm_count, ranks, rank;
static double from[1 << 16], to[1 << 20];

static void sleep_ms(int ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* ncclConfig_t of 2.14 */
static struct {
    size_t size;
    unsigned magic, version;
    int blocking;
} no_blocking = {sizeof no_blocking, 0xcafebeef, 21400, 0};

static int wait_for(void *comm, int code) {
    for (int state = 7; (code == 0 || code == 7) && state == 7; sleep_ms(1))
        code = ncclCommGetAsyncError(comm, &state) || state != 7 ? state : code;
    return code;
}

static int init_without_blocking(void) {
    void **comm = &comms[comm_count++];
    int code = ncclCommInitRankConfig(comm, ranks, ids[0], rank, &no_blocking);
    return wait_for(*comm, code);
}

static int split_into_variable(void *comm, int color) {
    static void *variable;
    int code = wait_for(comm, ncclCommSplit(comm, color, rank, &variable, NULL));
    comms[comm_count++] = variable;
    variable = &variable;
    return code;
}

static int init_other(void) {
    if (rank == 0) {
        int code = ncclGetUniqueId(&others[comm_count].id);
        __atomic_store_n(&others[comm_count].made, 1, __ATOMIC_RELEASE);
        if (code)
            return code;
    }
    while (!__atomic_load_n(&others[comm_count].made, __ATOMIC_ACQUIRE))
        sleep_ms(1);
    comm_count++;
    return ncclCommInitRank(&comms[comm_count - 1], ranks, others[comm_count - 1].id, rank);
}

static int call(const char *name, const int *n) {
    void *comm = n[0] >= 0 && n[0] < MOST ? comms[n[0]] : NULL;
    size_t count = (size_t)n[1];
#define IS(word) (strcmp(name, word) == 0)
    if (IS("init"))
        return ncclCommInitRank(&comms[comm_count++], ranks, ids[0], rank);
    if (IS("nbinit"))
        return init_without_blocking();
    if (IS("on"))
        return stream = (void *)(intptr_t)n[0], 0;
    if (IS("use"))
        return nccl_redirect_use(getenv("B"));
    if (IS("other"))
        return init_other();
    if (IS("wait"))
        return wait_for(comm, 0);
    if (IS("vsplit"))
        return split_into_variable(comm, n[1]);
    if (IS("pair"))
        return ncclCommInitRank(&comms[comm_count++], 2, ids[1 + MOST * n[0] + n[1]], rank == n[1]);
    if (IS("ar"))
        return ncclAllReduce(from, to, count, FLOAT, SUM, comm, stream);
    if (IS("ard"))
        return ncclAllReduce(from, to, count, DOUBLE, SUM, comm, stream);
    if (IS("mx"))
        return ncclAllReduce(from, to, count, FLOAT, MAX, comm, stream);
    if (IS("rs"))
        return ncclReduceScatter(from, to, count, FLOAT, SUM, comm, stream);
    if (IS("ag"))
        return ncclAllGather(from, to, count, FLOAT, comm, stream);
    if (IS("bc"))
        return ncclBroadcast(from, to, count, FLOAT, n[2], comm, stream);
    if (IS("rd"))
        return ncclReduce(from, to, count, FLOAT, SUM, n[2], comm, stream);
    if (IS("s"))
        return ncclSend(from, count, FLOAT, n[2], comm, stream);
    if (IS("r"))
        return ncclRecv(to, count, FLOAT, n[2], comm, stream);
    if (IS("gs"))
        return ncclGroupStart();
    if (IS("ge"))
        return ncclGroupEnd();
    if (IS("split"))
        return ncclCommSplit(comm, n[1], rank, &comms[comm_count++], NULL);
    if (IS("destroy"))
        return ncclCommDestroy(comm);
    if (IS("abort"))
        return ncclCommAbort(comm);
    if (IS("sleep"))
        sleep_ms(n[0]);
    else if (IS("kill"))
        kill(getpid(), SIGKILL);
    else if (IS("stop"))
        kill(getpid(), SIGSTOP);
    else if (IS("segv"))
        abort();
    else if (IS("exit"))
        exit(0);
    else if (IS("quit"))
        _exit(0);
    else
        fprintf(stderr, "there is no call \"%s\"\n", name), _exit(2);
    return 0;
}

static void run_calls(char *calls) {
    for (char *rest, *word = strtok_r(calls, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        int n[4] = {-1, 0, 0, 0}, times = 1, at = 0;
        char *star = strchr(word, '*'), *colon = strchr(word, ':');
        if (star)
            times = atoi(star + 1), *star = '\0';
        if (colon)
            *colon = '\0';
        for (char *number = colon ? colon + 1 : NULL; number && at < 4; number = strchr(number, ':')) {
            number += *number == ':';
            n[at++] = atoi(number);
        }
        for (int i = 0; i < times; i++) {
            int code = call(word, n);
            if (code)
                printf("rank %d: %s returned %d\n", rank, word, code);
        }
    }
}

static int is_for(const char *argument) {
    int first, last;
    if (strncmp(argument, "all=", 4) == 0)
        return 1;
    if (sscanf(argument, "%d-%d=", &first, &last) == 2)
        return rank >= first && rank <= last;
    return sscanf(argument, "%d=", &first) == 1 && first == rank;
}

static void run_rank(int argc, char **argv) {
    char text[16];
    snprintf(text, sizeof text, "%d", rank);
    setenv("RANK", text, 1);
    for (int i = 2; i < argc; i++)
        if (is_for(argv[i]))
            run_calls(strchr(argv[i], '=') + 1);
    printf("rank %d done\n", rank);
    fflush(stdout);
    exit(0);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static volatile sig_atomic_t asked_to_end;

static void ask_to_end(int signal) {
    (void)signal;
    asked_to_end = 1;
}

/* What the NCCL over host memory keeps for ranks that never came. */
static void clean_up(const ncclUniqueId *id, int of) {
    char path[256];
    snprintf(path, sizeof path, "%.100s-%d", id->internal + strlen("hostmem:"), of);
    if (strncmp(id->internal, "hostmem:/dev/shm/", 17) == 0)
        unlink(path);
}

int main(int argc, char **argv) {
    int pids[MOST], running, killed = 0;
    double end = now() + 60;
    ranks = argc > 1 ? atoi(argv[1]) : 0;
    if (ranks < 1 || ranks > MOST)
        return 2;
    setlinebuf(stdout);
    ids = mmap(NULL, sizeof *ids * (1 + MOST * MOST), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    others = mmap(NULL, sizeof *others * MOST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1 + MOST * MOST; i++)
        ncclGetUniqueId(&ids[i]);
    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], "ms=", 3) == 0)
            end = now() + atof(argv[i] + 3) / 1000;
    for (rank = 0; rank < ranks; rank++) {
        pids[rank] = fork();
        if (pids[rank] == 0)
            run_rank(argc, argv);
        printf("rank %d pid %d\n", rank, pids[rank]);
    }
    signal(SIGTERM, ask_to_end);
    for (running = ranks; running > 0 && now() < end && !asked_to_end; sleep_ms(5))
        while (running > 0 && waitpid(-1, NULL, WNOHANG) > 0)
            running--;
    for (int i = 0; i < ranks; i++)
        killed += kill(pids[i], SIGKILL) == 0;
    while (waitpid(-1, NULL, 0) > 0)
        ;
    for (int i = 0; i < 1 + MOST * MOST; i++)
        clean_up(&ids[i], i ? 2 : ranks);
    for (int i = 0; i < MOST; i++)
        clean_up(&others[i].id, ranks);
    return running ? 3 : 0;
}
