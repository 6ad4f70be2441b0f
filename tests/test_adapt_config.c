/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations between versions: two traps are corrected in a copy, everything else passes as it is, nothing behind
 * the program's struct is read, and a setting that gets lost is named.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

static const int headers[] = {21403, 21605, 21701, 21803, 22501, 22602, 22703,
                              22803, 22902, 23003, 23007, 23102, 23203, 29999};
static const char *const functions[] = {"ncclCommInitRankConfig", "ncclCommInitRankScalable", "ncclCommSplit",
                                        "ncclCommShrink", "ncclCommGrow"};

static struct result run_on(enum preload preload, int version) {
    const char *recorder = library("adapt_recorder");
    struct result result = run(preload, ENV(text("NCCL_REDIRECT=%s", recorder), text("RECORDER_VERSION=%d", version)),
                               CMD(program("adapt_config"), preload == WITH_SHIM ? "libnccl.so.2" : recorder));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    return result;
}

/* What must be seen of a configuration that `header` made, by a backend of `version`. */
static const char *expected(int header, int version) {
    bool padding = header >= 21800 && header < 22600 && version >= 22600;
    bool blocking = header >= 21700 && version >= 21403 && version < 21700;
    if (!padding && !blocking)
        return " untouched";
    return padding ? " 44=undefined" : " 16=1";
}

static void the_traps_are_corrected_and_nothing_else(void **state) {
    static const int versions[] = {21403, 21605, 21803, 22105, 22403, 22602, 22703, 22809, 23203};
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        struct result result = run_on(WITH_SHIM, versions[i]);
        for (size_t h = 0; h < sizeof headers / sizeof *headers; h++)
            for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
                assert_contains(result.out,
                                text("%d: %s%s\n", headers[h], functions[f], expected(headers[h], versions[i])));
        assert_contains(result.out, "NULL: ncclCommInitRankConfig untouched\n");
        assert_contains(result.out, "magic: ncclCommInitRankConfig untouched\n");
        assert_contains(result.out, text("2147483653: ncclCommInitRankConfig%s\n", expected(29999, versions[i])));
        for (int size = 8; size < 20; size += 4)
            assert_contains(result.out, text("size %d: ncclCommInitRankConfig untouched\n", size));
        assert_lacks(result.out, "changed");
        assert_lacks(result.out, "CHANGED");
        result_free(&result);
    }
}

static unsigned occurrences(const char *all, const char *part) {
    unsigned count = 0;
    for (const char *at = all; (at = strstr(at, part)); at++)
        count++;
    return count;
}

static void what_is_dropped_is_told_once(void **state) {
    static const struct {
        int version;
        const char *dropped[6], *kept[6];
    } cases[] = {
        {21605, {"netName", "splitShare", "trafficClass", "commName", "shrinkShare"}, {"minCTAs"}},
        {21803, {"trafficClass", "commName", "shrinkShare"}, {"netName", "splitShare", "maxCTAs"}},
        {22602, {"commName", "shrinkShare"}, {"trafficClass", "netName"}},
        {23203, {NULL}, {"trafficClass", "commName", "shrinkShare"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result = run_on(WITH_SHIM, cases[i].version);
        for (int j = 0; cases[i].dropped[j]; j++)
            assert_int_equal(occurrences(result.err, text("sets %s in ncclConfig_t", cases[i].dropped[j])), 1);
        for (int j = 0; cases[i].kept[j]; j++)
            assert_lacks(result.err, text("sets %s in", cases[i].kept[j]));
        result_free(&result);
    }
    struct result result = run_on(WITH_SHIM, 21803);
    assert_contains(result.err, "warning: the program sets trafficClass in ncclConfig_t, which needs "
                                "NCCL 2.26.2 or newer; NCCL 2.18.3 (");
    result_free(&result);
}

static void without_the_shim_all_pass_as_they_are(void **state) {
    (void)state;
    struct result result = run_on(WITHOUT_SHIM, 22703);
    assert_contains(result.out, "21803: ncclCommInitRankConfig untouched\n");
    assert_string_equal(result.err, "");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_traps_are_corrected_and_nothing_else),
        cmocka_unit_test(what_is_dropped_is_told_once),
        cmocka_unit_test(without_the_shim_all_pass_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
