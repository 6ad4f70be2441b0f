/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend may lack besides collectives: creation with a configuration, registration, device memory, teams,
 * errors; and what a refused call does to its group. Run with the preload; the argument is any path of an NCCL, by which
 * the program opens it.
 */
#include "adapt_newest.h"

static int version; /* of the backend, as in nccl_api.def */

static bool lacks(int since) {
    return version < since;
}

/* ---- creation ---- */

static void expect_sum(ncclComm_t comm, int64_t mine, int64_t wanted) {
    int64_t sum = -1;
    OK(nccl.AllReduce(&mine, &sum, 1, ncclInt64, ncclSum, comm, NULL));
    CHECK(sum == wanted);
}

struct creation {
    ncclUniqueId id;
    int rank, form;
};

enum { FORMS = 5, RANKS = 3 };

static ncclResult_t create(ncclComm_t *comm, int rank, int form, ncclUniqueId *id) {
    struct newest_config standard = newest_config(NCCL_CONFIG_UNDEF_INT);
    ncclConfig_t *config = form % 2 ? &standard.head : NULL;
    if (form == 0)
        return nccl.CommInitRank(comm, RANKS, *id, rank);
    if (form < 3)
        return nccl.CommInitRankConfig(comm, RANKS, *id, rank, config);
    return nccl.CommInitRankScalable(comm, RANKS, rank, 1, id, config);
}

static void *create_one(void *argument) {
    struct creation *creation = argument;
    ncclComm_t comm;
    if (!OK(create(&comm, creation->rank, creation->form, &creation->id)))
        return NULL;
    expect_sum(comm, creation->rank, RANKS * (RANKS - 1) / 2);
    OK(nccl.CommFinalize(comm));
    OK(nccl.CommDestroy(comm));
    return NULL;
}

static void each_form_creates(void **state) {
    struct creation creations[RANKS];
    pthread_t threads[RANKS];
    (void)state;
    for (int form = 0; form < FORMS; form++) {
        OK(nccl.GetUniqueId(&creations[0].id));
        for (int rank = 0; rank < RANKS; rank++) {
            creations[rank] = (struct creation){creations[0].id, rank, form};
            pthread_create(&threads[rank], NULL, create_one, &creations[rank]);
        }
        for (int rank = 0; rank < RANKS; rank++)
            pthread_join(threads[rank], NULL);
    }
    if (lacks(21403))
        OK(nccl.CommFinalize(NULL));
    assert_no_failures();
}

static void each_form_creates_in_a_group(void **state) {
    ncclComm_t comms[RANKS];
    ncclUniqueId id;
    (void)state;
    for (int form = 0; form < FORMS; form++) {
        OK(nccl.GetUniqueId(&id));
        OK(nccl.GroupStart());
        for (int rank = 0; rank < RANKS; rank++)
            OK(create(&comms[rank], rank, form, &id));
        OK(nccl.GroupEnd());
        for (int rank = 0; rank < RANKS; rank++)
            OK(nccl.CommDestroy(comms[rank]));
    }
    assert_no_failures();
}

static void what_is_not_the_same_is_refused(void **state) {
    ncclUniqueId ids[2];
    ncclComm_t comm = NULL;
    struct newest_config not_blocking = newest_config(0), broken = newest_config(1);
    broken.head.magic = 1;
    (void)state;
    OK(nccl.GetUniqueId(&ids[0]));
    ids[1] = ids[0];
    CHECK(nccl.CommInitRankConfig(&comm, 1, ids[0], 0, &broken.head) == ncclInvalidArgument);
    CHECK(nccl.CommInitRankScalable(&comm, 1, 0, 0, ids, NULL) == ncclInvalidArgument);
    if (lacks(22304)) {
        CHECK(nccl.CommInitRankScalable(&comm, 1, 0, 2, ids, NULL) == ncclInvalidUsage);
        CHECK(strstr(nccl.GetLastError(NULL),
                     "ncclCommInitRankScalable with more than one id needs NCCL 2.23.4 or newer"));
    }
    if (lacks(21403)) {
        CHECK(nccl.CommInitRankConfig(&comm, 1, ids[0], 0, &not_blocking.head) == ncclInvalidUsage);
        CHECK(strstr(nccl.GetLastError(NULL), "of a non-blocking communicator needs NCCL 2.14.3"));
    } else {
        OK(nccl.CommInitRankConfig(&comm, 1, ids[0], 0, &not_blocking.head));
        OK(nccl.CommDestroy(comm));
    }
    assert_no_failures();
}

static void nothing_else_blocks(void **state) {
    struct newest_config config = newest_config(0);
    ncclComm_t comms[2] = {NULL, NULL};
    ncclResult_t error;
    ncclUniqueId id;
    (void)state;
    if (lacks(21403))
        skip();
    OK(nccl.GetUniqueId(&id));
    CHECK(nccl.CommInitRankScalable(&comms[0], 2, 0, 1, &id, &config.head) == ncclInProgress);
    char byte = 0;
    CHECK(nccl.AlltoAll(&byte, &byte, 1, ncclInt8, comms[0], NULL) == ncclInvalidArgument);
    OK(nccl.CommInitRankScalable(&comms[1], 2, 1, 1, &id, &config.head));
    OK(nccl.CommGetAsyncError(comms[0], &error));
    CHECK(error == ncclSuccess);
    int from[2][2] = {{0, 1}, {2, 3}}, to[2][2];
    OK(nccl.GroupStart());
    for (int rank = 0; rank < 2; rank++)
        OK(nccl.AlltoAll(from[rank], to[rank], 1, ncclInt32, comms[rank], NULL));
    OK(nccl.GroupEnd());
    CHECK(to[0][0] == 0 && to[0][1] == 2 && to[1][0] == 1 && to[1][1] == 3);
    OK(nccl.CommDestroy(comms[0]));
    OK(nccl.CommDestroy(comms[1]));
    assert_no_failures();
}

/* ---- memory, registration, windows, teams ---- */

/* The CUDA runtime of this program. */
static int allocated;

int cudaMalloc(void **pointer, size_t size);
int cudaFree(void *pointer);

int cudaMalloc(void **pointer, size_t size) {
    if (!pointer || size > 1 << 20)
        return 2;
    allocated++;
    *pointer = malloc(size);
    return 0;
}

int cudaFree(void *pointer) {
    allocated--;
    free(pointer);
    return 0;
}

static void device_memory_is_the_runtimes(void **state) {
    void *pointer = NULL;
    (void)state;
    OK(nccl.MemAlloc(&pointer, 4096));
    CHECK(pointer && allocated == lacks(21901));
    memset(pointer, 1, 4096);
    OK(nccl.MemFree(pointer));
    CHECK(allocated == 0);
    OK(nccl.MemFree(NULL));
    if (lacks(21901)) {
        CHECK(nccl.MemAlloc(&pointer, (size_t)1 << 30) == ncclUnhandledCudaError);
        CHECK(strstr(nccl.GetLastError(NULL), "cannot allocate 1073741824 bytes"));
    }
    assert_no_failures();
}

static void registration_answers_as_where_it_is_turned_off(void **state) {
    ncclResult_t (*deregister)(ncclComm_t,
                               void *) = find("ncclCommDeregister"),
                                    (*window_deregister)(ncclComm_t, ncclWindow_t) = find("ncclCommWindowDeregister"),
                                    (*user_pointer)(ncclComm_t, ncclWindow_t, void **) = find("ncclWinGetUserPtr");
    char buffer[64];
    void *handle = buffer, *pointer = buffer;
    ncclWindow_t window = (ncclWindow_t)buffer;
    ncclComm_t comm;
    (void)state;
    OK(nccl.CommInitAll(&comm, 1, NULL));
    OK(nccl.CommRegister(comm, buffer, sizeof buffer, &handle));
    CHECK(handle == NULL);
    OK(deregister(comm, handle));
    OK(nccl.CommWindowRegister(comm, buffer, sizeof buffer, &window, 0));
    CHECK(window == NULL);
    OK(user_pointer(comm, window, &pointer));
    CHECK(pointer == NULL);
    OK(window_deregister(comm, window));
    CHECK(nccl.CommRegister(comm, NULL, 1, &handle) == ncclInvalidArgument);
    CHECK(nccl.CommRegister(NULL, buffer, 1, &handle) == ncclInvalidArgument);
    CHECK(deregister(NULL, NULL) == ncclInvalidArgument);
    CHECK(nccl.CommWindowRegister(comm, buffer, 0, &window, 0) == ncclInvalidArgument);
    CHECK(window_deregister(NULL, NULL) == ncclInvalidArgument);
    CHECK(user_pointer(comm, NULL, NULL) == ncclInvalidArgument);
    OK(nccl.CommDestroy(comm));
    assert_no_failures();
}

static void team(ncclComm_t comm, int rank, int nranks) {
    ncclTeam_t world = nccl.TeamWorld(comm), every_second = {nranks / 2, rank / 2, 2};
    CHECK(world.nRanks == nranks && world.rank == rank && world.stride == 1);
    CHECK(nccl.TeamRankToWorld(comm, world, 0) == 0);
    CHECK(nccl.TeamRankToWorld(comm, every_second, 1) == 2 + rank % 2);
    if (lacks(22803)) {
        ncclTeam_t none = nccl.TeamLsa(comm);
        CHECK(none.nRanks == 0 && none.rank == 0 && none.stride == 0);
        CHECK(nccl.TeamRankToLsa(comm, world, 0) == -1);
    }
}

static void teams(void **state) {
    (void)state;
    in_threads(4, team);
}

static void resetting_debug_is_no_error(void **state) {
    void (*reset)(void) = find("ncclResetDebugInit");
    ncclComm_t comm;
    int value = 7, sum = 0;
    (void)state;
    OK(nccl.CommInitAll(&comm, 1, NULL));
    OK(nccl.GroupStart());
    OK(nccl.AllReduce(&value, &sum, 1, ncclInt32, ncclSum, comm, NULL));
    reset();
    OK(nccl.GroupEnd());
    CHECK(sum == 7);
    OK(nccl.CommDestroy(comm));
    assert_no_failures();
}

/* ---- what is refused spoils its group ---- */

typedef ncclResult_t spoiler(ncclComm_t comm);

static ncclResult_t signal_it(ncclComm_t comm) {
    ncclResult_t (*put)(const void *, size_t, ncclDataType_t, int, void *, size_t, int, int, unsigned, ncclComm_t,
                        void *) = find("ncclPutSignal");
    return put(NULL, 0, ncclInt8, 0, NULL, 0, 0, 0, 0, comm, NULL);
}

static ncclResult_t exchange_nothing_known(ncclComm_t comm) {
    return nccl.AlltoAll(&version, &version, 1, 77, comm, NULL);
}

static ncclResult_t gather_to_nobody(ncclComm_t comm) {
    return nccl.Gather(&version, &version, 1, ncclInt8, 5, comm, NULL);
}

static ncclResult_t scatter_without_communicator(ncclComm_t comm) {
    (void)comm;
    return nccl.Scatter(&version, &version, 1, ncclInt8, 0, NULL, NULL);
}

static ncclResult_t exchange_from_nowhere(ncclComm_t comm) {
    return nccl.AlltoAll(NULL, NULL, 1, ncclInt8, comm, NULL);
}

static ncclResult_t with_settings(ncclComm_t comm) {
    struct newest_coll_config config = newest_coll_config;
    config.max_ctas = 4;
    ncclResult_t (*call)(const void *, void *, size_t, ncclDataType_t, ncclComm_t, void *, void *) =
        find("ncclAlltoAllConfig");
    return call(&version, &version, 1, ncclInt8, comm, NULL, &config);
}

static void refused_calls_spoil_their_group(void **state) {
    static const struct {
        spoiler *call;
        int since; /* refused before; 0: wrong in every version */
        ncclResult_t code;
        const char *text;
    } cases[] = {
        {signal_it, 22902, ncclInvalidUsage, "ncclPutSignal needs NCCL 2.29.2 or newer"},
        {with_settings, 23102, ncclInvalidUsage,
         "ncclAlltoAllConfig with a configuration that is not the default needs NCCL 2.31.2"},
        {exchange_nothing_known, 0, ncclInvalidArgument, "type"},
        {gather_to_nobody, 0, ncclInvalidArgument, "ncclGather"},
        {scatter_without_communicator, 0, ncclInvalidArgument, "is NULL"},
        {exchange_from_nowhere, 0, ncclInvalidArgument, "NULL"},
    };
    ncclComm_t comm;
    (void)state;
    OK(nccl.CommInitAll(&comm, 1, NULL));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int value = 7, before = 0, after = 0;
        if (cases[i].since && !lacks(cases[i].since))
            continue;
        OK(nccl.GroupStart());
        OK(nccl.AllReduce(&value, &before, 1, ncclInt32, ncclSum, comm, NULL));
        CHECK(cases[i].call(comm) == cases[i].code);
        const char *text = nccl.GetLastError(NULL);
        if (!strstr(text, cases[i].text) && (cases[i].since || !lacks(21304) || *text))
            CHECK(!"the text");
        if (cases[i].since)
            CHECK(strstr(text, "the active one is 2.") && strstr(text, "/libnccl.so.2)"));
        OK(nccl.AllReduce(&value, &after, 1, ncclInt32, ncclSum, comm, NULL));
        CHECK(nccl.GroupEnd() != ncclSuccess);
        CHECK(before == 0 && after == 0);
        /* The next group is a new one. */
        OK(nccl.GroupStart());
        OK(nccl.AllReduce(&value, &after, 1, ncclInt32, ncclSum, comm, NULL));
        OK(nccl.GroupEnd());
        CHECK(after == 7);
    }
    OK(nccl.CommDestroy(comm));
    assert_no_failures();
}

static void an_end_that_cannot_simulate_ends_the_group(void **state) {
    ncclSimInfo_t info = {sizeof info, NCCL_SIM_INFO_MAGIC, NEWEST, -1};
    ncclComm_t comm;
    int value = 7, sum = 0;
    (void)state;
    OK(nccl.CommInitAll(&comm, 1, NULL));
    OK(nccl.GroupStart());
    OK(nccl.AllReduce(&value, &sum, 1, ncclInt32, ncclSum, comm, NULL));
    CHECK(nccl.GroupSimulateEnd(&info) == (lacks(22203) ? ncclInvalidUsage : ncclSuccess));
    if (lacks(22203))
        CHECK(strstr(nccl.GetLastError(NULL), "ncclGroupSimulateEnd needs NCCL 2.22.3 or newer"));
    CHECK(sum == 0 && nccl.GroupEnd() == ncclInvalidUsage);
    OK(nccl.AllReduce(&value, &sum, 1, ncclInt32, ncclSum, comm, NULL));
    CHECK(sum == 7);
    OK(nccl.CommDestroy(comm));
    assert_no_failures();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_creates),
        cmocka_unit_test(each_form_creates_in_a_group),
        cmocka_unit_test(what_is_not_the_same_is_refused),
        cmocka_unit_test(nothing_else_blocks),
        cmocka_unit_test(device_memory_is_the_runtimes),
        cmocka_unit_test(registration_answers_as_where_it_is_turned_off),
        cmocka_unit_test(teams),
        cmocka_unit_test(resetting_debug_is_no_error),
        cmocka_unit_test(refused_calls_spoil_their_group),
        cmocka_unit_test(an_end_that_cannot_simulate_ends_the_group),
    };
    if (argc != 2 || !newest_load(argv[1]) || nccl.GetVersion(&version) != ncclSuccess)
        return 2;
    version = version < 10000 ? version / 1000 * 10000 + version % 1000 : version;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
