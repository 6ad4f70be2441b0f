/* SPDX-License-Identifier: Apache-2.0 */
/* A backend with functions that the table does not know yet: the program gets them, linked or by its handle. */
#include "support.h"

static struct result with(const char *variant, const char *when, const char *const *command) {
    return run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", hostmem(variant)), when), command);
}

static void a_linked_program_gets_them(void **state) {
    (void)state;
    struct result result = with("extra", "A=", CMD(program("linked_future")));
    assert_string_equal(result.out, "version=0\ncode=0 answer=42\n");
    result_free(&result);
}

/* As without the preload: by the handle that dlopen gave, which has the functions of the table too, by way of the shim. */
static void a_handle_has_them(void **state) {
    (void)state;
    const char *const direct[] = {program("open_future"), "handle", hostmem("extra"), NULL};
    struct result alone = run(WITHOUT_SHIM, NO_ENV, direct);
    assert_string_equal(alone.out, "answer=42\nncclGetVersion is in libnccl.so.2\n");
    struct result result =
        with("extra", "NCCL_REDIRECT_LOG=info", CMD(program("open_future"), "handle", "libnccl.so.2"));
    assert_string_equal(result.out, "answer=42\nncclGetVersion is in libnccl_redirect.so\n");
    assert_contains(result.err, "has 1 function that nccl-redirect ");
    result_free(&result);
    result = with("plain", "A=", CMD(program("open_future"), "handle", "libnccl.so.2"));
    assert_string_equal(result.out, "no ncclHostmemFuture\n");
    result_free(&result);
    result_free(&alone);
}

/* A library is resolved when it is opened: by then the backend must be there. */
static void a_library_gets_them_once_the_backend_is_there(void **state) {
    (void)state;
    struct result result =
        with("extra", "NCCL_REDIRECT_BIND=start", CMD(program("open_future"), library("future_user")));
    assert_string_equal(result.out, "answer=42\n");
    result_free(&result);
}

static void a_backend_without_them_stays_local(void **state) {
    (void)state;
    struct result result = with("plain", "A=", CMD(program("linked_future")));
    assert_string_equal(result.out, "version=0\n");
    assert_lacks(result.err, "check-abi");
    assert_contains(result.err, "undefined symbol: ncclHostmemFuture");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linked_program_gets_them),
        cmocka_unit_test(a_handle_has_them),
        cmocka_unit_test(a_library_gets_them_once_the_backend_is_there),
        cmocka_unit_test(a_backend_without_them_stays_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
