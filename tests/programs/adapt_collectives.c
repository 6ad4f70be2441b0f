/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collectives that a backend may lack, and element types that it may not know, against reference results: alone and in
 * groups, in place where NCCL allows it, ranks in threads and in processes. Run with the preload; the argument is any
 * path of an NCCL, by which the program opens it.
 */
#include "adapt_newest.h"

typedef ncclResult_t all_to_all(const void *, void *, size_t, ncclDataType_t, ncclComm_t, void *);
typedef ncclResult_t all_to_all_config(const void *, void *, size_t, ncclDataType_t, ncclComm_t, void *, const void *);
typedef ncclResult_t rooted_config(const void *, void *, size_t, ncclDataType_t, int, ncclComm_t, void *, const void *);
typedef ncclResult_t reduce_config(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, int, ncclComm_t, void *,
                                   const void *);
typedef ncclResult_t all_reduce_config(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t, void *,
                                       const void *);

/* ---- buffers of one rank: `one` holds a block of `count` elements, `from` and `to` one per rank */

struct buffers {
    unsigned char *one, *from, *to;
    size_t block;
};

static struct buffers buffers_new(size_t count, ncclDataType_t type, int nranks) {
    size_t block = count * sizes[type], all = block * (size_t)nranks + 1;
    return (struct buffers){calloc(1, block + 1), calloc(1, all), calloc(1, all), block};
}

static void buffers_free(struct buffers *b) {
    free(b->one);
    free(b->from);
    free(b->to);
}

/* Rank r's block for rank p: elements from r * 100 + p * 10 on. */
static void fill_blocks(struct buffers *b, size_t count, ncclDataType_t type, int rank, int nranks) {
    for (int peer = 0; peer < nranks; peer++)
        fill(b->from + (size_t)peer * b->block, count, type, rank, (size_t)peer * 10);
    memset(b->to, 0x55, b->block * (size_t)nranks);
}

static bool exchanged(const struct buffers *b, size_t count, ncclDataType_t type, int rank, int nranks) {
    for (int peer = 0; peer < nranks; peer++)
        if (!holds_elements(b->to + (size_t)peer * b->block, count, type, peer, (size_t)rank * 10))
            return false;
    return true;
}

static bool gathered(const struct buffers *b, size_t count, ncclDataType_t type, int nranks) {
    for (int peer = 0; peer < nranks; peer++)
        if (!holds_elements(b->to + (size_t)peer * b->block, count, type, peer, 3))
            return false;
    return true;
}

/* ---- what the backend may lack ---- */

static const size_t counts[] = {0, 1, 7, 9001};

static void check_all_to_all(ncclComm_t comm, int rank, int nranks, size_t count, ncclDataType_t type) {
    struct buffers b = buffers_new(count, type, nranks);
    all_to_all *forms[] = {nccl.AlltoAll, (all_to_all *)find("pncclAlltoAll"), (all_to_all *)find("ncclAllToAll")};
    for (int form = 0; form < 3; form++) {
        fill_blocks(&b, count, type, rank, nranks);
        OK(forms[form](b.from, b.to, count, type, comm, NULL));
        CHECK(exchanged(&b, count, type, rank, nranks));
    }
    all_to_all_config *with_config = (all_to_all_config *)find("ncclAlltoAllConfig");
    for (int with = 0; with < 2; with++) {
        fill_blocks(&b, count, type, rank, nranks);
        OK(with_config(b.from, b.to, count, type, comm, NULL, with ? &newest_coll_config : NULL));
        CHECK(exchanged(&b, count, type, rank, nranks));
    }
    buffers_free(&b);
}

static void check_gather(ncclComm_t comm, int rank, int nranks, size_t count, ncclDataType_t type, int root,
                         bool in_place) {
    struct buffers b = buffers_new(count, type, nranks);
    unsigned char *mine = in_place ? b.to + (size_t)rank * b.block : b.one;
    memset(b.to, 0x55, b.block * (size_t)nranks);
    fill(mine, count, type, rank, 3);
    if (in_place)
        OK(nccl.Gather(mine, b.to, count, type, root, comm, NULL));
    else
        OK(((rooted_config *)find("ncclGatherConfig"))(mine, rank == root ? b.to : NULL, count, type, root, comm, NULL,
                                                       &newest_coll_config));
    CHECK(rank != root || gathered(&b, count, type, nranks));
    buffers_free(&b);
}

static void check_scatter(ncclComm_t comm, int rank, int nranks, size_t count, ncclDataType_t type, int root,
                          bool in_place) {
    struct buffers b = buffers_new(count, type, nranks);
    unsigned char *mine = in_place && rank == root ? b.from + (size_t)rank * b.block : b.one;
    fill_blocks(&b, count, type, rank, nranks);
    if (in_place)
        OK(nccl.Scatter(b.from, mine, count, type, root, comm, NULL));
    else
        OK(((rooted_config *)find("ncclScatterConfig"))(rank == root ? b.from : NULL, mine, count, type, root, comm,
                                                        NULL, NULL));
    CHECK(holds_elements(mine, count, type, root, (size_t)rank * 10));
    buffers_free(&b);
}

static void exchanges(ncclComm_t comm, int rank, int nranks) {
    for (int type = 0; type < ncclNumTypes; type++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            size_t count = counts[i];
            int root = (type + (int)i) % nranks;
            check_all_to_all(comm, rank, nranks, count, (ncclDataType_t)type);
            for (int in_place = 0; in_place < 2; in_place++) {
                check_gather(comm, rank, nranks, count, (ncclDataType_t)type, root, in_place);
                check_scatter(comm, rank, nranks, count, (ncclDataType_t)type, root, in_place);
            }
        }
}

/* Everything in one group, in groups of their own inside of it, with an all-reduce in between. */
static void in_one_group(ncclComm_t comm, int rank, int nranks) {
    enum { COUNT = 1000, ROOT = 0 };
    struct buffers a = buffers_new(COUNT, ncclInt32, nranks), g, s;
    g = buffers_new(COUNT, ncclFloat32, nranks);
    s = buffers_new(COUNT, ncclInt64, nranks);
    int32_t sum = rank;
    fill_blocks(&a, COUNT, ncclInt32, rank, nranks);
    fill_blocks(&s, COUNT, ncclInt64, rank, nranks);
    fill(g.one, COUNT, ncclFloat32, rank, 3);
    OK(nccl.GroupStart());
    OK(nccl.AlltoAll(a.from, a.to, COUNT, ncclInt32, comm, NULL));
    OK(nccl.AllReduce(&sum, &sum, 1, ncclInt32, ncclSum, comm, NULL));
    OK(nccl.GroupStart());
    OK(nccl.Gather(g.one, g.to, COUNT, ncclFloat32, ROOT, comm, NULL));
    OK(nccl.GroupEnd());
    OK(nccl.Scatter(s.from, s.one, COUNT, ncclInt64, ROOT, comm, NULL));
    CHECK(sum == rank && a.to[0] == 0x55); /* nothing moves before the end */
    OK(nccl.GroupEnd());
    CHECK(sum == nranks * (nranks - 1) / 2);
    CHECK(exchanged(&a, COUNT, ncclInt32, rank, nranks));
    CHECK(rank != ROOT || gathered(&g, COUNT, ncclFloat32, nranks));
    CHECK(holds_elements(s.one, COUNT, ncclInt64, ROOT, (size_t)rank * 10));
    buffers_free(&a);
    buffers_free(&g);
    buffers_free(&s);
}

static void lacking_collectives_are_right(void **state) {
    (void)state;
    for (int nranks = 1; nranks <= 4; nranks++)
        in_threads(nranks, exchanges);
    in_processes(3, 1, exchanges);
}

static void they_nest_in_groups(void **state) {
    (void)state;
    for (int nranks = 1; nranks <= 4; nranks++)
        in_threads(nranks, in_one_group);
    in_processes(2, 2, in_one_group);
}

/* One thread drives all ranks: each call must only queue. */
static void one_thread_drives_all_ranks(void **state) {
    enum { RANKS = 3, COUNT = 77 };
    ncclComm_t comms[RANKS];
    struct buffers b[RANKS];
    (void)state;
    OK(nccl.CommInitAll(comms, RANKS, NULL));
    OK(nccl.GroupStart());
    for (int rank = 0; rank < RANKS; rank++) {
        b[rank] = buffers_new(COUNT, ncclFloat64, RANKS);
        fill_blocks(&b[rank], COUNT, ncclFloat64, rank, RANKS);
        OK(nccl.AlltoAll(b[rank].from, b[rank].to, COUNT, ncclFloat64, comms[rank], NULL));
    }
    OK(nccl.GroupEnd());
    for (int rank = 0; rank < RANKS; rank++) {
        CHECK(exchanged(&b[rank], COUNT, ncclFloat64, rank, RANKS));
        buffers_free(&b[rank]);
        OK(nccl.CommDestroy(comms[rank]));
    }
    assert_no_failures();
}

/* ---- the other forms with a configuration ---- */

static void config_forms(ncclComm_t comm, int rank, int nranks) {
    enum { COUNT = 50, ROOT = 0 };
    struct buffers b = buffers_new(COUNT, ncclFloat32, nranks);
    all_reduce_config *all_reduce = (all_reduce_config *)find("ncclAllReduceConfig"),
                      *scatter = (all_reduce_config *)find("ncclReduceScatterConfig");
    for (int with = 0; with < 2; with++) {
        const void *config = with ? &newest_coll_config : NULL;
        fill(b.one, COUNT, ncclFloat32, rank, 0);
        OK(all_reduce(b.one, b.one, COUNT, ncclFloat32, ncclMax, comm, NULL, config));
        CHECK(holds_reduced(b.one, 0, COUNT, ncclFloat32, ncclMax, nranks));
        fill(b.one, COUNT, ncclFloat32, rank, 0);
        OK(((reduce_config *)find("ncclReduceConfig"))(b.one, b.to, COUNT, ncclFloat32, ncclSum, ROOT, comm, NULL,
                                                       config));
        CHECK(rank != ROOT || holds_reduced(b.to, 0, COUNT, ncclFloat32, ncclSum, nranks));
        fill(b.from, COUNT * (size_t)nranks, ncclFloat32, rank, 0);
        OK(scatter(b.from, b.one, COUNT, ncclFloat32, ncclSum, comm, NULL, config));
        CHECK(holds_reduced(b.one, COUNT * (size_t)rank, COUNT, ncclFloat32, ncclSum, nranks));
        fill(b.one, COUNT, ncclFloat32, rank, 3);
        OK(((all_to_all_config *)find("ncclAllGatherConfig"))(b.one, b.to, COUNT, ncclFloat32, comm, NULL, config));
        CHECK(gathered(&b, COUNT, ncclFloat32, nranks));
        fill(b.one, COUNT, ncclFloat32, rank, 0);
        OK(((rooted_config *)find("ncclBroadcastConfig"))(b.one, b.one, COUNT, ncclFloat32, ROOT, comm, NULL, config));
        CHECK(holds_elements(b.one, COUNT, ncclFloat32, ROOT, 0));
    }
    buffers_free(&b);
}

static void config_forms_without_settings_are_the_plain_calls(void **state) {
    (void)state;
    in_threads(3, config_forms);
}

/* ---- types that the backend may not know ---- */

static void move(ncclComm_t comm, int rank, int nranks, ncclDataType_t type) {
    enum { COUNT = 1234 };
    struct buffers b = buffers_new(COUNT, type, nranks);
    int next = (rank + 1) % nranks, last = (rank + nranks - 1) % nranks;
    fill(b.one, COUNT, type, rank, 3);
    OK(nccl.GroupStart());
    OK(nccl.Send(b.one, COUNT, type, next, comm, NULL));
    OK(nccl.Recv(b.to, COUNT, type, last, comm, NULL));
    OK(nccl.GroupEnd());
    CHECK(holds_elements(b.to, COUNT, type, last, 3));
    OK(nccl.AllGather(b.one, b.to, COUNT, type, comm, NULL));
    CHECK(gathered(&b, COUNT, type, nranks));
    OK(nccl.Broadcast(b.one, b.to, COUNT, type, nranks - 1, comm, NULL));
    CHECK(holds_elements(b.to, COUNT, type, nranks - 1, 3));
    OK(nccl.Bcast(b.one, COUNT, type, nranks - 1, comm, NULL));
    CHECK(holds_elements(b.one, COUNT, type, nranks - 1, 3));
    buffers_free(&b);
}

static void move_all(ncclComm_t comm, int rank, int nranks) {
    for (int type = ncclBfloat16; type < ncclNumTypes; type++)
        move(comm, rank, nranks, (ncclDataType_t)type);
    /* Adding them up is another matter: the backend's own answer. */
    unsigned char bytes[8] = {0};
    CHECK(nccl.AllReduce(bytes, bytes, 8, ncclFloat8e4m3, ncclSum, comm, NULL) == ncclInvalidArgument);
    const char *error = nccl.GetLastError(NULL); /* NCCL has none before 2.13.4 */
    CHECK(!*error || strstr(error, "type"));
}

static void unknown_types_are_moved(void **state) {
    (void)state;
    in_threads(2, move_all);
    in_processes(3, 1, move_all);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lacking_collectives_are_right),
        cmocka_unit_test(they_nest_in_groups),
        cmocka_unit_test(one_thread_drives_all_ranks),
        cmocka_unit_test(config_forms_without_settings_are_the_plain_calls),
        cmocka_unit_test(unknown_types_are_moved),
    };
    if (argc != 2 || !newest_load(argv[1]))
        return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
