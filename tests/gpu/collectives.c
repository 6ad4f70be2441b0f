/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Five collectives in a chain whose end result counts how often it ran, called from the host or captured into a CUDA
 * graph and replayed. Linked with -lnccl like any program.
 *
 *   collectives [-p] [-r RANKS] [-g REPLAYS]
 *
 * One process with all ranks (ncclCommInitAll), or with -p one process for each (fork, ncclGetUniqueId). With -g:
 * memory that NCCL and the graph took on the device, and the time of a replay.
 */
#include "device.h"
#include "nccl_names.h"
#include "proof.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16, COUNT = 1 << 16, BATCHES = 20 };

/*
 * The chain. All-reduce adds the steps of ranks 1, 2, ... to the total, which rank 0 keeps in place: after n runs
 * total[i] = i + n * (steps of i). The others move it: broadcast from the last rank into `copy`, all-gather of one
 * slice of it from each rank into `gathered`, reduce-scatter (times the number of ranks) into `scattered`, send to the
 * next rank's `received`.
 */
struct rank {
    int rank;
    ncclComm_t comm;
    void *stream, *graph;
    int64_t *total, *step, *copy, *gathered, *scattered, *received;
};

static struct rank local[MOST]; /* the ranks of this process */
static int locals, ranks;
static size_t slice; /* elements of one rank's part */

static int64_t step_of(int rank, size_t i) {
    return rank == 0 ? 0 : rank + (int64_t)(i % 7);
}

static int64_t total_after(int runs, size_t i) {
    int64_t steps = 0;
    for (int r = 1; r < ranks; r++)
        steps += step_of(r, i);
    return (int64_t)i + runs * steps;
}

static int64_t *new_buffer(size_t count) {
    return device_new(count * sizeof(int64_t));
}

static void prepare(struct rank *r) {
    static int64_t host[COUNT];
    size_t size = COUNT * sizeof *host;
    r->total = new_buffer(COUNT);
    r->step = r->rank == 0 ? r->total : new_buffer(COUNT);
    for (size_t i = 0; i < COUNT; i++)
        host[i] = r->rank == 0 ? (int64_t)i : step_of(r->rank, i);
    device_put(r->step, host, size);
    r->copy = new_buffer(COUNT);
    r->gathered = new_buffer(COUNT);
    r->scattered = new_buffer(slice);
    r->received = new_buffer(slice);
    r->stream = device_new_stream();
}

#define EACH(r) for (struct rank *r = local; r < local + locals; r++)
/* One collective on every rank of this process. */
#define GROUP(call)                                                                                                    \
    do {                                                                                                               \
        NCCL(ncclGroupStart());                                                                                        \
        EACH(r)                                                                                                        \
        NCCL(call);                                                                                                    \
        NCCL(ncclGroupEnd());                                                                                          \
    } while (0)

static int send_on(struct rank *r) {
    int next = (r->rank + 1) % ranks, previous = (r->rank + ranks - 1) % ranks;
    NCCL(ncclSend(r->scattered, slice, ncclInt64, next, r->comm, r->stream));
    return ncclRecv(r->received, slice, ncclInt64, previous, r->comm, r->stream);
}

static void chain(void) {
    GROUP(ncclAllReduce(r->step, r->total, COUNT, ncclInt64, ncclSum, r->comm, r->stream));
    GROUP(ncclBroadcast(r->total, r->copy, COUNT, ncclInt64, ranks - 1, r->comm, r->stream));
    GROUP(ncclAllGather(r->copy + (size_t)r->rank * slice, r->gathered, slice, ncclInt64, r->comm, r->stream));
    GROUP(ncclReduceScatter(r->gathered, r->scattered, slice, ncclInt64, ncclSum, r->comm, r->stream));
    GROUP(send_on(r));
}

static void wait_for_all(void) {
    EACH(r) {
        device_use(r->rank);
        device_wait(r->stream);
    }
}

/* Does every rank of this process hold what `runs` chains must leave? */
static const char *result_after(int runs) {
    static int64_t host[COUNT];
    EACH(r) {
        int previous = (r->rank + ranks - 1) % ranks;
        device_use(r->rank);
        device_get(host, r->received, slice * sizeof *host);
        for (size_t i = 0; i < slice; i++)
            if (host[i] != ranks * total_after(runs, (size_t)previous * slice + i)) {
                fprintf(stderr, "rank %d: after %d runs element %zu is %lld, expected %lld\n", r->rank, runs, i,
                        (long long)host[i], (long long)(ranks * total_after(runs, (size_t)previous * slice + i)));
                return "wrong";
            }
    }
    return "right";
}

static size_t memory_used(void) {
    size_t sum = 0;
    EACH(r) {
        device_use(r->rank);
        sum += device_memory_used();
    }
    return sum;
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void capture(void) {
    EACH(r) {
        device_use(r->rank);
        device_begin_capture(r->stream);
    }
    chain();
    EACH(r) {
        device_use(r->rank);
        r->graph = device_end_capture(r->stream);
    }
    EACH(r) {
        device_use(r->rank);
        r->graph = device_instantiate(r->graph);
    }
}

/* Launch the graph of every rank `times` times; returns the microseconds of one. */
static double replay(int times) {
    double start = now_us();
    for (int i = 0; i < times; i++) {
        if (!local[0].graph)
            chain();
        EACH(r) {
            device_use(r->rank);
            device_launch(r->graph, r->stream);
        }
    }
    wait_for_all();
    return (now_us() - start) / times;
}

static void report_graph(size_t before, int replays, int version) {
    double each[BATCHES];
    capture();
    int captured_ran = local[0].graph == NULL; /* in plain memory the chain ran at once */
    for (int b = 0; b < BATCHES; b++)
        each[b] = replay(replays / BATCHES);
    const char *result = result_after(1 + captured_ran + replays / BATCHES * BATCHES);
    double memory = ((double)memory_used() - (double)before) / 1048576;
    EACH(r)
    device_delete_graph(r->graph); /* a communicator cannot be destroyed before its graphs */
    qsort(each, BATCHES, sizeof *each, ascending);
    proof(version, "result=%s ranks=%d replays=%d", result, ranks, replays / BATCHES * BATCHES);
    printf("measure: what=graph_chain_us value=%.2f min=%.2f max=%.2f\n", each[BATCHES / 2], each[0],
           each[BATCHES - 1]);
    printf("measure: what=memory_mib value=%.2f min=%.2f max=%.2f\n", memory, memory, memory);
    if (strcmp(result, "right") != 0)
        exit(1);
}

/* The ranks of this process are local[0 .. locals); `join` makes their communicators. */
static void work(void (*join)(void), int replays) {
    slice = COUNT / ranks;
    EACH(r) {
        device_use(r->rank);
        prepare(r);
    }
    size_t before = memory_used();
    join();
    chain();
    wait_for_all();
    int version = 0;
    NCCL(ncclGetVersion(&version));
    const char *result = result_after(1);
    if (strcmp(result, "right") != 0 || !replays)
        proof(version, "result=%s ranks=%d", result, ranks);
    if (strcmp(result, "right") != 0)
        exit(1);
    if (replays)
        report_graph(before, replays, version);
    EACH(r) NCCL(ncclCommDestroy(r->comm));
}

static void join_all(void) {
    ncclComm_t comms[MOST];
    NCCL(ncclCommInitAll(comms, locals, NULL));
    for (int i = 0; i < locals; i++)
        local[i].comm = comms[i];
}

static int id_pipe[2];

static void join_one(void) {
    ncclUniqueId id;
    struct rank *r = &local[0];
    if (r->rank == 0) {
        NCCL(ncclGetUniqueId(&id));
        for (int i = 1; i < ranks; i++)
            if (write(id_pipe[1], &id, sizeof id) != sizeof id)
                exit(1);
    } else if (read(id_pipe[0], &id, sizeof id) != sizeof id) {
        fprintf(stderr, "rank %d: rank 0 sent no unique id\n", r->rank);
        exit(1);
    }
    NCCL(ncclCommInitRank(&r->comm, ranks, id, r->rank));
}

static int fork_ranks(int replays) {
    int failed = pipe(id_pipe) != 0;
    for (int i = 0; i < ranks && !failed; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (i > 0)
                close(id_pipe[1]);
            local[0].rank = i;
            locals = 1;
            work(join_one, replays);
            exit(0);
        }
        failed = child < 0;
    }
    close(id_pipe[1]);
    for (int status; wait(&status) > 0;)
        failed += status != 0;
    return failed != 0;
}

int main(int argc, char **argv) {
    int processes = 0, replays = 0;
    ranks = 2;
    for (int option; (option = getopt(argc, argv, "pr:g:")) != -1;) {
        if (option == '?')
            return 2;
        processes = processes || option == 'p';
        ranks = option == 'r' ? atoi(optarg) : ranks;
        replays = option == 'g' ? atoi(optarg) : replays;
    }
    if (ranks < 1 || ranks > MOST) {
        fprintf(stderr, "collectives: 1 to %d ranks\n", MOST);
        return 2;
    }
    if (processes)
        return fork_ranks(replays);
    locals = ranks;
    for (int i = 0; i < ranks; i++)
        local[i].rank = i;
    work(join_all, replays);
    return 0;
}
