/* SPDX-License-Identifier: Apache-2.0 */
/* The table of functions itself: unique names, names that the code has room for, plausible versions. */
#include "support.h"

#include "loader.h"

#include <limits.h>
#include <string.h>

static void no_name_stands_twice(void **state) {
    (void)state;
    for (unsigned i = 0; i < NCR_ROWS; i++)
        for (unsigned j = i + 1; j < NCR_ROWS; j++)
            if (strcmp(ncr_functions[i].name, ncr_functions[j].name) == 0)
                fail_msg("%s stands in rows %u and %u", ncr_functions[i].name, i, j);
}

static void versions_are_versions(void **state) {
    (void)state;
    unsigned core = 0;
    for (unsigned i = 0; i < NCR_ROWS; i++) {
        const struct ncr_function *f = &ncr_functions[i];
        if (f->since < NCR_CORE_SINCE || f->since > 29999)
            fail_msg("%s: %d", f->name, f->since);
        core += f->since == NCR_CORE_SINCE;
    }
    assert_int_equal(core, 19); /* nccl.h of 2.4 */
}

/* Codes of ncclGetVersion: up to 2.8 major * 1000; what is none is unknown, and no arithmetic overflows with it. */
static void codes_become_versions(void **state) {
    static const struct {
        int code, version;
    } cases[] = {{2403, 20403},      {2804, 20804}, {9999, 90999}, {21403, 21403},
                 {INT_MAX, INT_MAX}, {-1, 0},       {INT_MIN, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ncr_version_from_nccl(cases[i].code), cases[i].version);
}

static void names_are_known_with_their_aliases(void **state) {
    (void)state;
    for (unsigned i = 0; i < NCR_ROWS; i++) {
        assert_true(ncr_is_api_name(ncr_functions[i].name));
        assert_int_equal(ncr_is_api_name(text("p%s", ncr_functions[i].name)), ncr_functions[i].alias);
    }
    assert_false(ncr_is_api_name("ncclAllReduc"));
    assert_false(ncr_is_api_name("ncclAllReduceX"));
    assert_false(ncr_is_api_name("ppncclAllReduce"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_name_stands_twice),
        cmocka_unit_test(versions_are_versions),
        cmocka_unit_test(codes_become_versions),
        cmocka_unit_test(names_are_known_with_their_aliases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
