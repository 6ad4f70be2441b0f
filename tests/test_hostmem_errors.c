/* SPDX-License-Identifier: Apache-2.0 */
/* The test backend over host memory: wrong arguments, ranks that never come, fall silent or die, calls that do not match. */
#include "backend/testing.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(ranks_that_never_come_time_out),
        cmocka_unit_test(silent_or_dead_peers_time_out),
        cmocka_unit_test(mismatches_and_aborts_end_calls),
    };
    int unable = load_plain();
    return unable ? unable : cmocka_run_group_tests(tests, NULL, NULL);
}
