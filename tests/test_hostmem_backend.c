/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test backend over host memory gives right results and honest errors: with ranks in threads, in processes and
 * driven by one thread. NCR_TEST_HOSTMEM is the path of its plain variant (…/plain/libnccl.so.2); other variants are
 * looked for beside that folder.
 */
#include "backend/testing.h"

#include <libgen.h>
#include <math.h>

static const char *plain_path;

/* ---- collectives against references ---- */

/* Buffers of one rank for `count` elements of each rank. `all` and `other` hold nranks blocks. */
struct buffers {
    unsigned char *one, *all, *other;
    size_t block; /* bytes */
};

static struct buffers buffers_new(size_t count, ncclDataType_t type, int nranks) {
    size_t block = count * sizes[type], total = block * (size_t)nranks + 1;
    return (struct buffers){calloc(1, block + 1), calloc(1, total), calloc(1, total), block};
}

static void buffers_free(struct buffers buffers) {
    free(buffers.one);
    free(buffers.all);
    free(buffers.other);
}

static void check_reductions(ncclComm_t comm, int rank, int nranks, size_t count, ncclDataType_t type, ncclRedOp_t op) {
    struct buffers b = buffers_new(count, type, nranks);
    for (int in_place = 0; in_place < 2; in_place++) {
        void *out = in_place ? b.one : b.other;
        fill(b.one, count, type, rank, 0);
        OK(nccl.AllReduce(b.one, out, count, type, op, comm, NULL));
        CHECK(holds_reduced(out, 0, count, type, op, nranks));

        int root = (int)(count + (size_t)op) % nranks;
        fill(b.one, count, type, rank, 0);
        OK(nccl.Reduce(b.one, rank == root || in_place ? out : NULL, count, type, op, root, comm, NULL));
        CHECK(rank == root ? holds_reduced(out, 0, count, type, op, nranks)
                           : holds_elements(b.one, count, type, rank, 0));

        size_t mine = (size_t)rank * count;
        out = in_place ? b.all + (size_t)rank * b.block : b.one;
        fill(b.all, count * (size_t)nranks, type, rank, 0);
        OK(nccl.ReduceScatter(b.all, out, count, type, op, comm, NULL));
        CHECK(holds_reduced(out, mine, count, type, op, nranks));
    }
    buffers_free(b);
}

static void check_gathers(ncclComm_t comm, int rank, int nranks, size_t count, ncclDataType_t type, int root,
                          bool in_place) {
    struct buffers b = buffers_new(count, type, nranks);
    size_t block = b.block, mine = (size_t)rank * block;

    void *send = in_place ? b.all + mine : b.one;
    fill(send, count, type, rank, 0);
    OK(nccl.AllGather(send, b.all, count, type, comm, NULL));
    for (int peer = 0; peer < nranks; peer++)
        CHECK(holds_elements(b.all + (size_t)peer * block, count, type, peer, 0));

    memset(b.all, 0x55, block * (size_t)nranks);
    fill(send, count, type, rank, 9);
    OK(nccl.Gather(send, rank == root ? b.all : NULL, count, type, root, comm, NULL));
    for (int peer = 0; peer < nranks && rank == root; peer++)
        CHECK(holds_elements(b.all + (size_t)peer * block, count, type, peer, 9));

    void *receive = in_place && rank == root ? b.all + mine : b.one;
    fill(b.all, count * (size_t)nranks, type, 1, 0);
    OK(nccl.Scatter(rank == root ? b.all : NULL, receive, count, type, root, comm, NULL));
    CHECK(holds_elements(receive, count, type, 1, (size_t)rank * count));

    receive = in_place ? b.all : b.other;
    fill(b.all, count * (size_t)nranks, type, rank, 0);
    OK(nccl.AlltoAll(b.all, receive, count, type, comm, NULL));
    for (int peer = 0; peer < nranks; peer++)
        CHECK(holds_elements((char *)receive + (size_t)peer * block, count, type, peer, (size_t)rank * count));
    buffers_free(b);
}

static void check_broadcasts(ncclComm_t comm, int rank, int nranks, size_t count, ncclDataType_t type, int root) {
    struct buffers b = buffers_new(count, type, nranks);
    fill(b.one, count, type, rank, 0);
    OK(nccl.Broadcast(rank == root ? b.one : NULL, b.other, count, type, root, comm, NULL));
    CHECK(holds_elements(b.other, count, type, root, 0));
    OK(nccl.Bcast(b.one, count, type, root, comm, NULL));
    CHECK(holds_elements(b.one, count, type, root, 0));
    buffers_free(b);
}

/* 33001 elements are more than a slot, and, of 8 bytes, more than all slots of a pipe. */
static const size_t counts[] = {0, 1, 2, 17, 1000, 33001};
enum { NCOUNTS = sizeof counts / sizeof *counts };

static void all_collectives(ncclComm_t comm, int rank, int nranks) {
    for (size_t c = 0; c < NCOUNTS; c++)
        for (int type = 0; type < ncclNumTypes; type++) {
            for (int op = ncclSum; op <= ncclAvg && type < ncclFloat8e4m3; op++)
                check_reductions(comm, rank, nranks, counts[c], type, op);
            for (int root = 0; root < nranks; root++) {
                check_broadcasts(comm, rank, nranks, counts[c], type, root);
                check_gathers(comm, rank, nranks, counts[c], type, root, root % 2);
            }
        }
}

static void collectives_are_right(void **state) {
    (void)state;
    in_threads(1, all_collectives);
    in_threads(4, all_collectives);
    in_processes(3, 1, all_collectives);
    in_processes(2, 2, all_collectives);
}

static void large_counts(ncclComm_t comm, int rank, int nranks) {
    size_t count = 24u << 20; /* 96 MB of floats through 128 KB pipes */
    float *buffer = malloc(count * sizeof *buffer);
    for (size_t i = 0; i < count; i++)
        buffer[i] = (float)(rank + (int)(i % 1000));
    OK(nccl.AllReduce(buffer, buffer, count, ncclFloat32, ncclSum, comm, NULL));
    bool right = true;
    for (size_t i = 0; i < count; i++)
        right &= buffer[i] == (float)(nranks * (int)(i % 1000) + nranks * (nranks - 1) / 2);
    CHECK(right);
    free(buffer);
}

static void large_counts_go_through_small_pipes(void **state) {
    (void)state;
    in_processes(3, 1, large_counts);
}

/* To nearest even with `bits` bits of precision, but to no finer steps than 2^least. */
static double rounded(double value, int bits, int least) {
    int exponent;
    if (value == 0 || value - value != 0) /* zeros, infinities, NaN */
        return value;
    frexp(value, &exponent);
    int step = exponent - bits > least ? exponent - bits : least;
    return ldexp(ldexp(value, -step) + 0x1.8p52 - 0x1.8p52, step);
}

/* Each bit pattern of a 16-bit type, multiplied: by 1.5, half of the products lie in the middle between two results. */
static void every_pattern(ncclComm_t comm, ncclDataType_t type, double factor, int bits, int least, double limit) {
    static uint16_t in[65536], out[65536];
    unsigned char scalar[8];
    ncclRedOp_t op;
    put(scalar, 0, type, factor);
    for (size_t i = 0; i < 65536; i++)
        in[i] = (uint16_t)i;
    OK(nccl.RedOpCreatePreMulSum(&op, scalar, type, ncclScalarHostImmediate, comm));
    OK(nccl.AllReduce(in, out, 65536, type, op, comm, NULL));
    for (size_t i = 0; i < 65536; i++) {
        double wanted = rounded(get(in, i, type) * get(scalar, 0, type), bits, least), got = get(out, i, type);
        if (wanted >= limit || wanted <= -limit)
            wanted *= HUGE_VAL;
        if (!CHECK(wanted != wanted ? got != got : got == wanted))
            break;
    }
    CHECK(nccl.AllReduce(in, out, 1, ncclFloat32, op, comm, NULL) == ncclInvalidArgument);
    OK(nccl.RedOpDestroy(op, comm));
    CHECK(nccl.AllReduce(in, out, 1, type, op, comm, NULL) == ncclInvalidArgument);
    CHECK(nccl.RedOpDestroy(op, comm) == ncclInvalidArgument);
}

static void sixteen_bit_types(ncclComm_t comm, int rank, int nranks) {
    (void)rank, (void)nranks;
    for (int i = 0; i < 2; i++) {
        every_pattern(comm, ncclFloat16, i ? 1.5 : 0.375, 11, -24, 65536);
        every_pattern(comm, ncclBfloat16, i ? 1.5 : 0.375, 8, -133, 0x1p128);
    }
}

/* Each rank has a scalar of its own, one of them where it is read late. */
static void scaled_sums(ncclComm_t comm, int rank, int nranks) {
    double scalar = rank + 1, values[3] = {1, 2, rank}, sum[3];
    int32_t scalar32 = 2, value32 = rank, sum32;
    ncclRedOp_t op, op32;
    OK(nccl.RedOpCreatePreMulSum(&op, &scalar, ncclFloat64, ncclScalarDevice, comm));
    OK(nccl.RedOpCreatePreMulSum(&op32, &scalar32, ncclInt32, ncclScalarHostImmediate, comm));
    scalar = 10 * (rank + 1);
    scalar32 = 7;
    OK(nccl.AllReduce(values, sum, 3, ncclFloat64, op, comm, NULL));
    OK(nccl.AllReduce(&value32, &sum32, 1, ncclInt32, op32, comm, NULL));
    int n = nranks, ranks = n * (n - 1) / 2;
    CHECK(sum[0] == 10 * (ranks + n) && sum[1] == 20 * (ranks + n));
    CHECK(sum32 == 2 * ranks);
    OK(nccl.RedOpDestroy(op, comm));
    OK(nccl.RedOpDestroy(op32, comm));
}

static void own_operators_are_right(void **state) {
    (void)state;
    in_threads(1, sixteen_bit_types);
    in_threads(3, scaled_sums);
}

/* ---- groups ---- */

/*
 * Everybody sends to everybody, itself too, twice, with more than a pipe holds, and in an order that differs by rank;
 * collectives stand at different places between.
 */
static void exchange(ncclComm_t comm, int rank, int nranks) {
    enum { COUNT = 70001 };
    int32_t *out = malloc(sizeof *out * COUNT), *in = calloc((size_t)nranks * 2 * COUNT, sizeof *in);
    int32_t sum = rank, max = rank;
    for (int i = 0; i < COUNT; i++)
        out[i] = rank * 1000000 + i;
    OK(nccl.GroupStart());
    for (int i = 0; i < nranks; i++) {
        int peer = (i * (rank % 2 ? -1 : 1) + rank + nranks) % nranks;
        if (i == rank)
            OK(nccl.AllReduce(&sum, &sum, 1, ncclInt32, ncclSum, comm, NULL));
        OK(nccl.Send(out, COUNT, ncclInt32, peer, comm, NULL));
        OK(nccl.Recv(in + (size_t)peer * 2 * COUNT, COUNT, ncclInt32, peer, comm, NULL));
        OK(nccl.GroupStart());
        OK(nccl.Recv(in + ((size_t)peer * 2 + 1) * COUNT, COUNT - 1, ncclInt32, peer, comm, NULL));
        OK(nccl.Send(out + 1, COUNT - 1, ncclInt32, peer, comm, NULL));
        OK(nccl.GroupEnd());
    }
    OK(nccl.AllReduce(&max, &max, 1, ncclInt32, ncclMax, comm, NULL));
    OK(nccl.GroupEnd());
    CHECK(sum == nranks * (nranks - 1) / 2 && max == nranks - 1);
    for (int peer = 0; peer < nranks; peer++)
        for (int i = 0; i < COUNT; i++) {
            int32_t *from = in + (size_t)peer * 2 * COUNT;
            if (!CHECK(from[i] == peer * 1000000 + i) || !CHECK(i == COUNT - 1 || from[COUNT + i] == from[i] + 1))
                break;
        }
    free(out);
    free(in);
}

static void groups_exchange_without_deadlock(void **state) {
    (void)state;
    in_threads(4, exchange);
    in_processes(3, 1, exchange);
}

static void one_thread_drives_all_ranks(void **state) {
    enum { RANKS = 4, COUNT = 100003 };
    const int devices[RANKS] = {3, 5, 0, 1};
    ncclComm_t comms[RANKS], children[RANKS];
    float *buffers[RANKS];
    (void)state;
    assert_int_equal(nccl.CommInitAll(comms, RANKS, devices), ncclSuccess);
    for (int rank = 0; rank < RANKS; rank++) {
        int answer[3];
        OK(nccl.CommCount(comms[rank], &answer[0]));
        OK(nccl.CommUserRank(comms[rank], &answer[1]));
        OK(nccl.CommCuDevice(comms[rank], &answer[2]));
        CHECK(answer[0] == RANKS && answer[1] == rank && answer[2] == devices[rank]);
        buffers[rank] = malloc(COUNT * sizeof(float));
        fill(buffers[rank], COUNT, ncclFloat32, rank, 0);
    }
    OK(nccl.GroupStart());
    for (int rank = 0; rank < RANKS; rank++) {
        OK(nccl.AllReduce(buffers[rank], buffers[rank], COUNT, ncclFloat32, ncclSum, comms[rank], NULL));
        OK(nccl.CommSplit(comms[rank], rank / 2, 0, &children[rank], NULL));
    }
    OK(nccl.GroupEnd());
    for (int rank = 0; rank < RANKS; rank++)
        CHECK(holds_reduced(buffers[rank], 0, COUNT, ncclFloat32, ncclSum, RANKS));
    OK(nccl.GroupStart());
    for (int rank = 0; rank < RANKS; rank++) {
        fill(buffers[rank], COUNT, ncclFloat32, rank % 2, 0);
        OK(nccl.AllReduce(buffers[rank], buffers[rank], COUNT, ncclFloat32, ncclProd, children[rank], NULL));
    }
    OK(nccl.GroupEnd());
    for (int rank = 0; rank < RANKS; rank++) {
        CHECK(holds_reduced(buffers[rank], 0, COUNT, ncclFloat32, ncclProd, 2));
        OK(nccl.CommDestroy(children[rank]));
        OK(nccl.CommDestroy(comms[rank]));
        free(buffers[rank]);
    }
    /* A group of ncclCommInitRank calls does the same. */
    ncclUniqueId id;
    OK(nccl.GetUniqueId(&id));
    OK(nccl.GroupStart());
    for (int rank = 0; rank < RANKS; rank++)
        OK(nccl.CommInitRank(&comms[rank], RANKS, id, rank));
    OK(nccl.GroupEnd());
    for (int rank = 0; rank < RANKS; rank++)
        OK(nccl.CommDestroy(comms[rank]));
    assert_no_failures();
}

static void an_error_spoils_its_group(void **state) {
    ncclComm_t comm;
    int32_t value = 1, other = 7;
    ncclSimInfo_t info = {sizeof info, NCCL_SIM_INFO_MAGIC, HOSTMEM_VERSION, -1};
    (void)state;
    assert_int_equal(nccl.GroupEnd(), ncclInvalidUsage);
    OK(nccl.CommInitAll(&comm, 1, NULL));
    OK(nccl.GroupStart());
    OK(nccl.AllReduce(&value, &other, 1, ncclInt32, ncclSum, comm, NULL));
    CHECK(nccl.Bcast(&value, 1, ncclInt32, 1, comm, NULL) == ncclInvalidArgument);
    CHECK(nccl.GroupEnd() == ncclInvalidArgument && other == 7);
    OK(nccl.GroupStart());
    OK(nccl.AllReduce(&value, &other, 1, ncclInt32, ncclSum, comm, NULL));
    CHECK(nccl.CommDestroy(comm) == ncclInvalidUsage);
    OK(nccl.GroupSimulateEnd(&info));
    CHECK(info.estimatedTime == 0 && other == 7);
    OK(nccl.AllReduce(&value, &other, 1, ncclInt32, ncclSum, comm, NULL));
    CHECK(other == 1);
    OK(nccl.CommDestroy(comm));
    assert_no_failures();
}

/* ---- communicators from communicators ---- */

static void expect_sum(ncclComm_t comm, int64_t mine, int64_t wanted) {
    int64_t sum = -1;
    OK(nccl.AllReduce(&mine, &sum, 1, ncclInt64, ncclSum, comm, NULL));
    CHECK(sum == wanted);
}

static void splitting(ncclComm_t comm, int rank, int nranks) {
    ncclComm_t half = NULL, whole = NULL, none = comm, again = NULL;
    int answer;
    OK(nccl.CommSplit(comm, rank % 2, -rank, &half, NULL));
    OK(nccl.CommUserRank(half, &answer));
    CHECK(answer == (nranks - 1 - rank) / 2); /* keys turn the order around */
    expect_sum(half, rank, rank % 2 ? 4 : 2);
    OK(nccl.CommSplit(comm, 0, 5, &whole, NULL));
    OK(nccl.CommUserRank(whole, &answer));
    CHECK(answer == rank); /* equal keys keep it */
    expect_sum(whole, rank, 6);
    OK(nccl.CommSplit(half, rank == 3 ? -1 : 0, 0, &again, NULL));
    CHECK((again == NULL) == (rank == 3));
    if (again) {
        expect_sum(again, rank, rank == 1 ? 1 : 2);
        OK(nccl.CommDestroy(again));
    }
    OK(nccl.CommSplit(comm, -1, 0, &none, NULL));
    CHECK(none == NULL);
    OK(nccl.CommDestroy(half));
    OK(nccl.CommDestroy(whole));
    expect_sum(comm, 1, nranks);
    int excluded[] = {2, 0};
    for (int round = 0; round < 2 && rank % 2; round++) {
        OK(nccl.CommShrink(comm, excluded, 2, &half, NULL, round));
        OK(nccl.CommUserRank(half, &answer));
        CHECK(answer == rank / 2);
        expect_sum(half, rank, 4);
        OK(nccl.CommDestroy(half));
    }
    CHECK(nccl.CommShrink(comm, &rank, 1, &half, NULL, 0) == ncclInvalidArgument);
}

static void splits_and_shrinks(void **state) {
    (void)state;
    in_threads(4, splitting);
    in_processes(4, 1, splitting);
}

static void nonblocking_creation_ends_by_polling(void **state) {
    ncclConfig_t config = {sizeof config, NCCL_API_MAGIC, HOSTMEM_VERSION, 0};
    ncclComm_t comms[2] = {NULL, NULL};
    ncclResult_t error;
    ncclUniqueId id;
    int count;
    (void)state;
    OK(nccl.GetUniqueId(&id));
    CHECK(nccl.CommInitRankConfig(&comms[0], 2, id, 0, &config) == ncclInProgress);
    OK(nccl.CommGetAsyncError(comms[0], &error));
    CHECK(error == ncclInProgress && nccl.CommCount(comms[0], &count) == ncclInvalidArgument);
    OK(nccl.CommInitRankScalable(&comms[1], 2, 1, 1, &id, &config));
    OK(nccl.CommGetAsyncError(comms[0], &error));
    CHECK(error == ncclSuccess && nccl.CommCount(comms[0], &count) == ncclSuccess && count == 2);
    for (int rank = 0; rank < 2; rank++) {
        OK(nccl.CommFinalize(comms[rank]));
        OK(nccl.CommDestroy(comms[rank]));
    }
    /* Given up before the other came: nothing stays. */
    OK(nccl.GetUniqueId(&id));
    CHECK(nccl.CommInitRankConfig(&comms[0], 2, id, 0, &config) == ncclInProgress);
    CHECK(file_of_id_exists(&id, 2));
    OK(nccl.CommAbort(comms[0]));
    CHECK(!file_of_id_exists(&id, 2));
    assert_no_failures();
}

/* ---- errors ---- */

static void bad_arguments_are_refused(void **state) {
    ncclComm_t comm, other, two[2];
    ncclUniqueId id;
    ncclConfig_t config = {sizeof config, 1, HOSTMEM_VERSION, 1};
    char byte[8] = {0};
    const int twice[] = {1, 1};
    (void)state;
    OK(nccl.GetUniqueId(&id));
    OK(nccl.CommInitRank(&comm, 1, id, 0));
#define BAD(call) CHECK((call) == ncclInvalidArgument && nccl.GetLastError(NULL)[0] != '\0')
    BAD(nccl.GetVersion(NULL));
    BAD(nccl.GetUniqueId(NULL));
    BAD(nccl.CommInitRank(&other, 0, id, 0));
    BAD(nccl.CommInitRank(&other, 2, id, 2));
    BAD(nccl.CommInitRank(&other, 2, id, -1));
    BAD(nccl.CommInitRank(NULL, 1, id, 0));
    BAD(nccl.CommInitAll(two, 0, NULL));
    CHECK(nccl.CommInitAll(two, 2, twice) == ncclInvalidUsage);
    BAD(nccl.CommInitRankConfig(&other, 1, id, 0, &config));
    config = (ncclConfig_t){sizeof config, NCCL_API_MAGIC, HOSTMEM_VERSION, 2};
    BAD(nccl.CommInitRankConfig(&other, 1, id, 0, &config));
    BAD(nccl.CommInitRankScalable(&other, 1, 0, 0, &id, NULL));
    memset(&id, 'x', sizeof id);
    BAD(nccl.CommInitRank(&other, 1, id, 0));
    BAD(nccl.CommCount(NULL, NULL));
    BAD(nccl.CommCount(comm, NULL));
    BAD(nccl.AllReduce(byte, byte, 1, ncclInt8, ncclSum, NULL, NULL));
    BAD(nccl.AllReduce(byte, byte, 1, ncclNumTypes, ncclSum, comm, NULL));
    BAD(nccl.AllReduce(byte, byte, 1, -1, ncclSum, comm, NULL));
    BAD(nccl.AllReduce(byte, byte, 1, ncclInt8, ncclNumOps, comm, NULL));
    BAD(nccl.AllReduce(byte, byte, 1, ncclInt8, -1, comm, NULL));
    BAD(nccl.AllReduce(byte, byte, 1, ncclFloat8e4m3, ncclSum, comm, NULL));
    BAD(nccl.AllReduce(NULL, byte, 1, ncclInt8, ncclSum, comm, NULL));
    BAD(nccl.AllGather(byte, byte, SIZE_MAX / 2, ncclInt32, comm, NULL));
    BAD(nccl.Reduce(byte, byte, 1, ncclInt8, ncclSum, 1, comm, NULL));
    BAD(nccl.Broadcast(byte, byte, 1, ncclInt8, -1, comm, NULL));
    BAD(nccl.Send(byte, 1, ncclInt8, 1, comm, NULL));
    BAD(nccl.CommSplit(NULL, 0, 0, &other, NULL));
    BAD(nccl.CommRegister(comm, NULL, 1, (void **)&other));
    OK(nccl.CommFinalize(comm));
    BAD(nccl.CommFinalize(comm));
    OK(nccl.CommDestroy(comm));
    OK(nccl.CommDestroy(NULL));
    OK(nccl.CommAbort(NULL));
    assert_string_equal(nccl.GetErrorString(ncclSuccess), "no error");
    assert_string_equal(nccl.GetErrorString(77), "unknown result code");
    assert_no_failures();
}

static void ranks_that_never_come_time_out(void **state) {
    ncclComm_t comm;
    ncclUniqueId id;
    (void)state;
    setenv("HOSTMEM_TIMEOUT_S", "0.3", 1);
    OK(nccl.GetUniqueId(&id));
    double start = now();
    CHECK(nccl.CommInitRank(&comm, 2, id, 0) == ncclSystemError);
    CHECK(now() - start >= 0.3 && now() - start < 5);
    CHECK(strstr(nccl.GetLastError(NULL), "1 of 2 came") && comm == NULL);
    CHECK(!file_of_id_exists(&id, 2));
    assert_no_failures();
    unsetenv("HOSTMEM_TIMEOUT_S");
}

static void silent_peer(ncclComm_t comm, int rank, int nranks) {
    static _Atomic bool gave_up; /* ranks are threads here */
    char byte = 1;
    ncclResult_t error;
    (void)nranks;
    if (rank == 0) {
        CHECK(nccl.AllReduce(&byte, &byte, 1, ncclInt8, ncclSum, comm, NULL) == ncclSystemError);
        CHECK(strstr(nccl.GetLastError(comm), "waited 1 s for rank 1") != NULL);
        OK(nccl.CommGetAsyncError(comm, &error));
        CHECK(error == ncclSystemError);
        atomic_store(&gave_up, true);
    }
    while (!atomic_load(&gave_up))
        usleep(1000);
    /* The other learns of it at once, although its own time is not over. */
    if (rank == 1)
        CHECK(nccl.Recv(&byte, 1, ncclInt8, 0, comm, NULL) == ncclRemoteError);
}

static void dies(ncclComm_t comm, int rank, int nranks) {
    char byte = 1;
    (void)nranks;
    if (rank == 1)
        _exit(0);
    CHECK(nccl.AllReduce(&byte, &byte, 1, ncclInt8, ncclSum, comm, NULL) == ncclSystemError);
}

static void silent_or_dead_peers_time_out(void **state) {
    (void)state;
    setenv("HOSTMEM_TIMEOUT_S", "1", 1);
    in_threads(2, silent_peer);
    in_processes(2, 1, dies);
    unsetenv("HOSTMEM_TIMEOUT_S");
}

static void mismatched(ncclComm_t comm, int rank, int nranks) {
    char bytes[8] = {0};
    (void)nranks;
    ncclResult_t result = nccl.Bcast(bytes, rank ? 8 : 4, ncclInt8, 0, comm, NULL);
    CHECK(rank ? result == ncclInvalidUsage && strstr(nccl.GetLastError(comm), "sent 4 bytes") : result == ncclSuccess);
}

static void *abort_soon(void *comm) {
    usleep(50000);
    CHECK(nccl.CommAbort(comm) == ncclSuccess);
    return NULL;
}

static void mismatches_and_aborts_end_calls(void **state) {
    ncclComm_t comms[2];
    pthread_t thread;
    char byte = 0;
    (void)state;
    in_threads(2, mismatched);
    OK(nccl.CommInitAll(comms, 2, NULL));
    pthread_create(&thread, NULL, abort_soon, comms[0]);
    CHECK(nccl.Recv(&byte, 1, ncclInt8, 1, comms[0], NULL) == ncclRemoteError);
    pthread_join(thread, NULL);
    CHECK(nccl.Recv(&byte, 1, ncclInt8, 0, comms[1], NULL) == ncclRemoteError);
    OK(nccl.CommAbort(comms[1]));
    assert_no_failures();
}

/* ---- the rest of the interface ---- */

static void around_the_operations(ncclComm_t comm, int rank, int nranks) {
    void *memory = NULL, *handle = &memory;
    ncclWindow_t window = (ncclWindow_t)&memory;
    OK(nccl.MemAlloc(&memory, 1000));
    OK(nccl.CommRegister(comm, memory, 1000, &handle));
    OK(nccl.CommWindowRegister(comm, memory, 1000, &window, 0));
    CHECK(handle == NULL && window == NULL);
    OK(nccl.MemFree(memory));
    ncclTeam_t team = nccl.TeamWorld(comm);
    CHECK(team.nRanks == nranks && team.rank == rank && team.stride == 1);
    CHECK(nccl.TeamRankToWorld(comm, team, 0) == 0);
    team = nccl.TeamLsa(comm);
    CHECK(team.nRanks == 0 && team.rank == 0 && team.stride == 0 && nccl.TeamRankToLsa(comm, team, 0) == 0);
    CHECK(nccl.DevCommCreate(comm, NULL, NULL) == ncclInvalidUsage);
}

static void other_functions_answer(void **state) {
    int version;
    (void)state;
    OK(nccl.GetVersion(&version));
    assert_int_equal(version, 22809);
    in_threads(2, around_the_operations);
    CHECK(nccl.DevCommCreate(NULL, NULL, NULL) == ncclInvalidUsage);
    assert_string_equal(nccl.GetLastError(NULL), "ncclDevCommCreate is not implemented over host memory");
}

/* The version is printed once per process, so that this needs a fresh one: main calls two_communicators. */
static int two_communicators(void) {
    ncclComm_t comm;
    for (int i = 0; i < 2; i++)
        if (nccl.CommInitAll(&comm, 1, NULL) != ncclSuccess || nccl.CommDestroy(comm) != ncclSuccess)
            return 1;
    return nccl.DevCommCreate(NULL, NULL, NULL) != ncclInvalidUsage;
}

static void only_nccl_debug_makes_it_print(void **state) {
    static const char *const wanted[] = {"", "NCCL version 2.28.9+hostmem\n"};
    (void)state;
    for (int loud = 0; loud < 2; loud++) {
        char command[128], printed[256] = "";
        const char *debug = loud ? "NCCL_DEBUG=version" : "-u NCCL_DEBUG";
        snprintf(command, sizeof command, "env %s /proc/%d/exe --two-communicators 2>&1", debug, getpid());
        FILE *output = popen(command, "r");
        assert_non_null(output);
        assert_true(fread(printed, 1, sizeof printed - 1, output) < sizeof printed - 1);
        assert_int_equal(pclose(output), 0);
        assert_string_equal(printed, wanted[loud]);
    }
}

/* ---- variants ---- */

static void *open_variant(const char *variant, const char *file) {
    char path[4096], *folder = strdup(plain_path);
    snprintf(path, sizeof path, "%s/%s/%s", dirname(dirname(folder)), variant, file);
    free(folder);
    if (access(path, F_OK) != 0) {
        fprintf(stderr, "skipped: the variant %s is not built\n", path);
        skip();
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    return library;
}

static bool has(void *library, const char *name) {
    return dlsym(library, name) != NULL;
}

static void old_variant_lacks_what_came_later(void **state) {
    (void)state;
    void *library = open_variant("old", "libnccl.so.2");
    ncclResult_t (*get_version)(int *) = (ncclResult_t(*)(int *))dlsym(library, "ncclGetVersion");
    int version = 0;
    assert_int_equal(get_version(&version), ncclSuccess);
    assert_int_equal(version, 21803);
    assert_true(has(library, "ncclCommSplit") && has(library, "pncclCommSplit"));
    assert_false(has(library, "ncclMemAlloc") || has(library, "pncclCommShrink"));
}

static void lacking_variants_lack_just_that(void **state) {
    (void)state;
    void *library = open_variant("lacks-split", "libnccl.so.2");
    assert_false(has(library, "ncclCommSplit") || has(library, "pncclCommSplit"));
    assert_true(has(library, "ncclCommShrink"));
    library = open_variant("lacks-core", "libnccl.so.2");
    assert_false(has(library, "ncclGetUniqueId") || has(library, "pncclGetUniqueId"));
    assert_true(has(library, "ncclCommInitRank"));
    library = open_variant("no-pnccl", "libnccl.so.2");
    assert_false(has(library, "pncclGetVersion"));
    assert_true(has(library, "ncclGetVersion"));
}

static void plain_variant_has_the_names_of_its_version(void **state) {
    (void)state;
    void *library = dlopen(plain_path, RTLD_NOW);
    assert_true(has(library, "ncclResetDebugInitInternal") && has(library, "pncclAlltoAll"));
    assert_false(has(library, "pncclResetDebugInitInternal") || has(library, "ncclAllReduceConfig"));
    assert_false(has(library, "ncclAllToAll") || has(library, "ncclHostmemFuture"));
}

static void extra_variant_has_an_unknown_function(void **state) {
    (void)state;
    void *library = open_variant("extra", "libnccl.so.2");
    ncclResult_t (*future)(int *) = (ncclResult_t(*)(int *))dlsym(library, "ncclHostmemFuture");
    int answer = 0;
    assert_non_null(future);
    assert_int_equal(future(&answer), ncclSuccess);
    assert_int_equal(answer, 42);
}

static void failing_variant_fails_with_a_text(void **state) {
    (void)state;
    void *library = open_variant("fail-init", "libnccl.so.2");
    ncclResult_t (*init)(ncclComm_t *, int, const int *) =
        (ncclResult_t(*)(ncclComm_t *, int, const int *))dlsym(library, "ncclCommInitAll");
    const char *(*last)(ncclComm_t) = (const char *(*)(ncclComm_t))dlsym(library, "ncclGetLastError");
    ncclComm_t comm = NULL;
    assert_int_equal(init(&comm, 1, NULL), ncclUnhandledCudaError);
    assert_non_null(strstr(last(NULL), "HOSTMEM_FAIL_INIT"));
    assert_null(comm);
}

/* The newest version has the calls with a configuration; all ranks in one thread are enough to see them work. */
static void newest_variant_takes_configurations(void **state) {
    typedef ncclResult_t all_reduce_config(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t,
                                           void *, const ncclCollConfig_t *);
    ncclCollConfig_t good = {sizeof good, NCCL_API_MAGIC, 23203}, bad = {sizeof bad, 0, 23203};
    ncclComm_t comm;
    int32_t value = 3, sum = 0;
    (void)state;
    void *library = open_variant("newest", "libnccl.so.2");
    ncclResult_t (*init)(ncclComm_t *, int, const int *) =
        (ncclResult_t(*)(ncclComm_t *, int, const int *))dlsym(library, "pncclCommInitAll");
    ncclResult_t (*destroy)(ncclComm_t) = (ncclResult_t(*)(ncclComm_t))dlsym(library, "pncclCommDestroy");
    all_reduce_config *all_reduce = (all_reduce_config *)dlsym(library, "ncclAllReduceConfig");
    assert_int_equal(init(&comm, 1, NULL), ncclSuccess);
    assert_int_equal(all_reduce(&value, &sum, 1, ncclInt32, ncclSum, comm, NULL, &bad), ncclInvalidArgument);
    assert_int_equal(all_reduce(&value, &sum, 1, ncclInt32, ncclSum, comm, NULL, &good), ncclSuccess);
    assert_int_equal(sum, 3);
    assert_int_equal(all_reduce(&value, &sum, 1, ncclInt32, ncclSum, comm, NULL, NULL), ncclSuccess);
    assert_int_equal(destroy(comm), ncclSuccess);
}

typedef ncclResult_t all_to_all_v(const void *, const size_t *, const size_t *, void *, const size_t *, const size_t *,
                                  ncclDataType_t, ncclComm_t, void *);
static all_to_all_v *exchange_v;

/* Rank r sends s + 1 elements to rank s, out of and into buffers with gaps. */
static void uneven_exchange(ncclComm_t comm, int rank, int nranks) {
    size_t send_counts[8], recv_counts[8], displs[8];
    int64_t out[64], in[64] = {0};
    for (int peer = 0; peer < nranks; peer++) {
        send_counts[peer] = (size_t)peer + 1;
        recv_counts[peer] = (size_t)rank + 1;
        displs[peer] = (size_t)peer * 8;
    }
    for (int i = 0; i < 64; i++)
        out[i] = rank * 100 + i;
    OK(exchange_v(out, send_counts, displs, in, recv_counts, displs, ncclInt64, comm, NULL));
    for (int peer = 0; peer < nranks; peer++)
        for (int i = 0; i < 8; i++)
            CHECK(in[peer * 8 + i] == (i <= rank ? peer * 100 + rank * 8 + i : 0));
}

static void rccl_variant_has_its_own_exchanges(void **state) {
    (void)state;
    void *library = open_variant("rccl", "librccl.so.1");
    char path[4096], *folder = strdup(plain_path);
    snprintf(path, sizeof path, "%s/rccl/librccl.so.1", dirname(dirname(folder)));
    free(folder);
    assert_true(has(library, "ncclAllToAll") && has(library, "pncclAllToAllv") && has(library, "mscclRunAlgo"));
    exchange_v = (all_to_all_v *)dlsym(library, "ncclAllToAllv");
    assert_true(load(path));
    in_threads(3, uneven_exchange);
    assert_true(load(plain_path));
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collectives_are_right),
        cmocka_unit_test(large_counts_go_through_small_pipes),
        cmocka_unit_test(own_operators_are_right),
        cmocka_unit_test(groups_exchange_without_deadlock),
        cmocka_unit_test(one_thread_drives_all_ranks),
        cmocka_unit_test(an_error_spoils_its_group),
        cmocka_unit_test(splits_and_shrinks),
        cmocka_unit_test(nonblocking_creation_ends_by_polling),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(ranks_that_never_come_time_out),
        cmocka_unit_test(silent_or_dead_peers_time_out),
        cmocka_unit_test(mismatches_and_aborts_end_calls),
        cmocka_unit_test(other_functions_answer),
        cmocka_unit_test(only_nccl_debug_makes_it_print),
        cmocka_unit_test(plain_variant_has_the_names_of_its_version),
        cmocka_unit_test(old_variant_lacks_what_came_later),
        cmocka_unit_test(lacking_variants_lack_just_that),
        cmocka_unit_test(extra_variant_has_an_unknown_function),
        cmocka_unit_test(failing_variant_fails_with_a_text),
        cmocka_unit_test(newest_variant_takes_configurations),
        cmocka_unit_test(rccl_variant_has_its_own_exchanges),
    };
    plain_path = getenv("NCR_TEST_HOSTMEM");
    if (!plain_path) {
        puts("NCR_TEST_HOSTMEM is not set: it names the plain variant of the backend over host "
             "memory");
        return 77;
    }
    if (!load(plain_path))
        return 1;
    if (argc == 2 && strcmp(argv[1], "--two-communicators") == 0)
        return two_communicators();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
