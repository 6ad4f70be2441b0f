/* SPDX-License-Identifier: Apache-2.0 */
/* From every instruction of the entry code the caller is found: by debuggers, profilers and C++ exceptions. */
#include "support.h"

#include <stdio.h>

static void check(const char *const *environment) {
    struct result result = run(WITH_SHIM, environment, CMD(program("linked_unwind")));
    assert_string_equal(result.out, "ncclGetVersion: instructions were stepped through, all unwound\n"
                                    "ncclCommCount: instructions were stepped through, all unwound\n"
                                    "dlopen: instructions were stepped through, all unwound\n");
    result_free(&result);
}

static void jumps(void **state) {
    (void)state;
    check(ENV(text("NCCL_REDIRECT=%s", hostmem("plain"))));
}

/* Nothing fills the slots, so each call asks, and is answered here. */
static void unbound_slots(void **state) {
    (void)state;
    check(ENV("NCCL_REDIRECT=/nowhere/libnccl.so.2", "NCCL_REDIRECT_LOG=off"));
}

static void routed_slots(void **state) {
    (void)state;
    check(ENV(text("NCCL_REDIRECT=%s", hostmem("plain")), text("NCCL_REDIRECT_RULES=name:x=%s", hostmem("old"))));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jumps),
        cmocka_unit_test(unbound_slots),
        cmocka_unit_test(routed_slots),
    };
#if !defined(__x86_64__)
    puts("stepping is written for x86-64");
    return NCR_SKIP;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
