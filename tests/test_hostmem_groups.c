/* SPDX-License-Identifier: Apache-2.0 */
/* The test backend over host memory: groups, splits, shrinks and communicators that do not block. */
#include "backend/testing.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_exchange_without_deadlock),
        cmocka_unit_test(one_thread_drives_all_ranks),
        cmocka_unit_test(an_error_spoils_its_group),
        cmocka_unit_test(splits_and_shrinks),
        cmocka_unit_test(nonblocking_creation_ends_by_polling),
    };
    int unable = load_plain();
    return unable ? unable : cmocka_run_group_tests(tests, NULL, NULL);
}
