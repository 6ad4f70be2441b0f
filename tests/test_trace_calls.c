/* SPDX-License-Identifier: Apache-2.0 */
/* The table of traced calls against the table of the ABI: names, the place of the communicator, nothing forgotten. */
#include "support.h"

#include "trace.h"

#include <string.h>

static int row_of(const char *name) {
    for (unsigned i = 0; i < NCR_ROWS; i++)
        if (strcmp(ncr_functions[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void every_call_is_a_function(void **state) {
    (void)state;
    for (unsigned i = 1; i < TRACE_FUNCTIONS; i++)
        if (row_of(trace_call(i)->name) < 0)
            fail_msg("calls.def has %s, which the table of the ABI has not", trace_call(i)->name);
}

static void the_communicator_is_where_the_abi_has_it(void **state) {
    (void)state;
    unsigned compared = 0;
    for (unsigned i = 1; i < TRACE_FUNCTIONS; i++) {
        const struct ncr_function *function = &ncr_functions[row_of(trace_call(i)->name)];
        int at = trace_call(i)->comm;
        if (function->route < NCR_WINDOW) {
            assert_int_equal(at, function->route - NCR_COMM0);
            compared++;
        } else if (at >= 0 && strcmp(function->name, "ncclCommGrow") != 0) {
            fail_msg("%s: calls.def has a communicator, the ABI's table has none", function->name);
        }
    }
    assert_true(compared > 35);
}

/* Whoever adds a collective to the ABI is told here that traces would not show it. */
static void no_call_with_a_communicator_and_a_stream_is_left_out(void **state) {
    (void)state;
    static const char *const without[] = {"mscclRunAlgo"};
    for (unsigned i = 0; i < NCR_ROWS; i++) {
        const struct ncr_function *function = &ncr_functions[i];
        bool traced = false;
        for (unsigned k = 1; k < TRACE_FUNCTIONS; k++)
            traced |= strcmp(trace_call(k)->name, function->name) == 0;
        for (size_t k = 0; k < sizeof without / sizeof *without; k++)
            traced |= strcmp(function->name, without[k]) == 0;
        /* data functions have the communicator behind a buffer and a count at least */
        if (function->route >= NCR_COMM0 + 2 && function->route < NCR_WINDOW && !traced &&
            strcmp(function->name, "ncclRedOpCreatePreMulSum") != 0)
            fail_msg("%s moves data, and calls.def has no row for it", function->name);
    }
}

/* Which parameter of a function in NCCL's header has one of these names, counted from 0; -1: none has. */
static int parameter(const char *header, const char *function, const char *names) {
    const char *at = header;
    size_t length = strlen(function);
    while ((at = strstr(at, function)) && (strchr("p_abcdefghijklmnopqrstuvwxyz", at[-1]) || at[length] != '('))
        at += length;
    if (!at)
        return -2;
    int index = 0;
    for (at += length; *at && *at != ')'; at++) {
        index += *at == ',';
        size_t word = strcspn(at, " ,)*(\n");
        const char *found = word ? strstr(names, "|") : NULL;
        for (; found && found[1]; found = strchr(found + 1, '|'))
            if (strncmp(found + 1, at, word) == 0 && found[1 + word] == '|')
                return index;
        at += word ? word - 1 : 0;
    }
    return -1;
}

/* Where calls.def says the facts stand, against the header of a real NCCL. */
static void facts_are_where_nccls_header_has_them(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int class, count, type, op, peer, comm, stream;
    } rows[] = {
#define CALL(name, class, like, count, type, op, peer, comm, stream)                                                   \
    {#name, TRACE_##class, count, type, op, peer, comm, stream},
#include "calls.def"
    };
    char *header = ncr_file_text(built("nccl/cu12-2.32.3/include/nccl.h"), 1 << 20);
    unsigned compared = 0;
    assert_non_null(header);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int facts[] = {rows[i].count, rows[i].type, rows[i].op, rows[i].peer, rows[i].comm, rows[i].stream};
        static const char *const names[] = {
            "|count|sendcount|recvcount|size|nDesc|", "|datatype|", "|op|", "|root|peer|", "|comm|", "|stream|"};
        for (unsigned k = 0; k < 6; k++) {
            int at = parameter(header, rows[i].name, names[k]);
            if (at == -2 || rows[i].class == TRACE_CREATE || strstr(rows[i].name, "WindowRegister"))
                continue;
            if ((at < 0 ? 15 : at) != facts[k])
                fail_msg("%s: %s is argument %d in nccl.h, calls.def has %d", rows[i].name, names[k], at, facts[k]);
            compared++;
        }
    }
    assert_true(compared > 200);
}

static void aliases_are_compared_as_what_they_stand_for(void **state) {
    (void)state;
    assert_int_equal(trace_call(TRACE_ncclBcast)->like, TRACE_ncclBroadcast);
    assert_int_equal(trace_call(TRACE_ncclAllReduceConfig)->like, TRACE_ncclAllReduce);
    assert_int_equal(trace_call(TRACE_ncclAllToAll)->like, TRACE_ncclAlltoAll);
    for (unsigned i = 1; i < TRACE_FUNCTIONS; i++) {
        assert_int_equal(trace_call(trace_call(i)->like)->like, trace_call(i)->like);
        assert_int_equal(trace_call(trace_call(i)->like)->class, trace_call(i)->class);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_a_function),
        cmocka_unit_test(the_communicator_is_where_the_abi_has_it),
        cmocka_unit_test(no_call_with_a_communicator_and_a_stream_is_left_out),
        cmocka_unit_test(facts_are_where_nccls_header_has_them),
        cmocka_unit_test(aliases_are_compared_as_what_they_stand_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
