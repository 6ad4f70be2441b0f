/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With real NCCLs of several versions every name leads to the backend's function of the same name, or to the shim's own
 * code: an adapting one, or the answer for what the backend lacks.
 */
#include "support.h"

#include <stdio.h>

static void no_name_leads_elsewhere(void **state) {
    static const struct {
        const char *wheel;
        int version;
    } cases[] = {{"cu11-2.14.3", 21403}, {"cu12-2.21.5", 22105}, {"cu12-2.32.3", 23203}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        int version = 0, own = 0, adapted = 0, lacking = 0, wrong = -1;
        struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", real_nccl(cases[i].wheel))),
                                   CMD(program("slot_targets"), real_nccl(cases[i].wheel)));
        print_message("%s", result.out);
        assert_int_equal(sscanf(result.out, "version=%d own=%d adapted=%d lacking=%d wrong=%d", &version, &own,
                                &adapted, &lacking, &wrong),
                         5);
        assert_int_equal(version, cases[i].version);
        assert_int_equal(wrong, 0);
        assert_true(own >= 30); /* the comparison was made */
        assert_int_equal(result.status, 0);
        result_free(&result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_name_leads_elsewhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
