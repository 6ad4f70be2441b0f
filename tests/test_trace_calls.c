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

/* Which parameter of a prototype has this name, counted from 0; -1 if none has. */
static int parameter(const char *prototype, const char *name) {
    int index = 0;
    for (const char *at = prototype; *at; at++) {
        index += *at == ',';
        size_t length = strlen(name);
        if (at > prototype && strchr(" *", at[-1]) && strncmp(at, name, length) == 0 && strchr(",)", at[length]))
            return index;
    }
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
        int at = parameter(trace_call(i)->parameters, "comm");
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
        cmocka_unit_test(aliases_are_compared_as_what_they_stand_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
