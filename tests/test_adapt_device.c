/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs of the device API that the backend would misread are refused before they reach it, and the buffers of its
 * windows are known where it cannot tell them.
 */
#include "support.h"

static struct result run_as(const char *recorder, int backend, int program_version) {
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", library(recorder)), text("RECORDER_VERSION=%d", backend)),
            CMD(program("adapt_device"), "libnccl.so.2", text("%d", program_version)));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    return result;
}

static void structs_of_another_layout_are_refused(void **state) {
    static const struct {
        int backend, program;
        bool old_struct, makers, new_struct; /* passed? */
    } cases[] = {
        {22809, 22809, true, true, false}, {22809, 22807, true, true, false},   {22809, 22803, false, false, false},
        {22803, 22803, true, true, false}, {22803, 22809, false, false, false}, {22809, 23203, true, true, false},
        {22809, 0, true, true, false},     {22803, 22105, true, true, false},   {22902, 22803, true, false, true},
        {23203, 22809, true, true, true},  {23203, 23203, true, true, true},    {23007, 0, true, true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result = run_as("adapt_recorder", cases[i].backend, cases[i].program);
        print_message("backend %d, program %d\n", cases[i].backend, cases[i].program);
        assert_contains(result.out, cases[i].old_struct ? "old struct: 0 passed\n" : "old struct: 5 kept\n");
        assert_contains(result.out, cases[i].makers ? "barrier: 0 passed\n" : "barrier: 5 kept\n");
        assert_contains(result.out, cases[i].makers ? "slots: 0 passed\n" : "slots: 5 kept\n");
        assert_contains(result.out, cases[i].new_struct ? "new struct: 0 passed\n" : "new struct: 5 kept\n");
        assert_contains(result.out, cases[i].old_struct ? "no struct: 0 passed\n" : "no struct: 5 kept\n");
        result_free(&result);
    }
}

static void the_text_tells_why(void **state) {
    (void)state;
    struct result result = run_as("adapt_recorder", 22809, 22803);
    assert_contains(result.err, "ncclDevCommCreate: the program is compiled for NCCL 2.28.3, whose device structs "
                                "have another layout than those of NCCL 2.28.9 (");
    assert_contains(result.err, "ncclDevCommCreate of a program compiled for it needs NCCL 2.29.2 or "
                                "newer; the active one is 2.28.9 (");
    result_free(&result);
}

static void buffers_of_windows_are_known(void **state) {
    static const int versions[] = {22703, 22809};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct result result = run_as("adapt_recorder_28", versions[i], 0);
        assert_contains(result.out, "window: 0 right\nsecond: 0 right\nnone: 0 right\nlate: cleared\n"
                                    "unknown: 5 right\ngone: 5 ncclWinGetUserPtr for a window that was "
                                    "registered in a group needs NCCL 2.29.2 or newer; the active one");
        assert_contains(result.out, "still: 0 right\n");
        result_free(&result);
    }
}

static void an_exchange_is_the_backends_own_or_made_of_sends(void **state) {
    (void)state;
    struct result result = run_as("adapt_recorder", 22809, 0);
    assert_contains(result.out, "exchange: 0 passed 0\n");
    result_free(&result);
    result = run_as("adapt_recorder_28", 22703, 0);
    assert_contains(result.out, "exchange: 0 kept 3\n");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structs_of_another_layout_are_refused),
        cmocka_unit_test(the_text_tells_why),
        cmocka_unit_test(buffers_of_windows_are_known),
        cmocka_unit_test(an_exchange_is_the_backends_own_or_made_of_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
