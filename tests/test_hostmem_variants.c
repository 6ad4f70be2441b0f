/* SPDX-License-Identifier: Apache-2.0 */
/* The test backend over host memory: the rest of the interface, and the variants of other versions. */
#include "backend/testing.h"

#include <libgen.h>

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
    int unable = load_plain();
    if (!unable && argc == 2 && strcmp(argv[1], "--two-communicators") == 0)
        return two_communicators();
    return unable ? unable : cmocka_run_group_tests(tests, NULL, NULL);
}
