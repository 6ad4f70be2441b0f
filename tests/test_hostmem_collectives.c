/* SPDX-License-Identifier: Apache-2.0 */
/* The test backend over host memory: collectives of every type and operator. */
#include "backend/testing.h"

#include <math.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collectives_are_right),
        cmocka_unit_test(large_counts_go_through_small_pipes),
        cmocka_unit_test(own_operators_are_right),
    };
    int unable = load_plain();
    return unable ? unable : cmocka_run_group_tests(tests, NULL, NULL);
}
