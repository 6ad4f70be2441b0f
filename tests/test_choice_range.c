/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL_REDIRECT_REQUIRE with real NCCLs: what is out of range is passed over with the reason, and the next is tried. */
#include "trees.h"

static const char *torch_here, *system_here;

static int set_up(void **state) {
    (void)state;
    const char *site = fresh_folder();
    make_torch(site);
    make_wheel(site, TORCH_NCCL);
    torch_here = text("PYTHONPATH=%s", site);
    system_here = text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", SYSTEM_NCCL));
    return 0;
}

static void the_first_in_range_serves(void **state) {
    static const struct {
        const char *range;
        int version;
    } cases[] = {
        {"==2.21", TORCH_VERSION},
        {"==2.21.5", TORCH_VERSION},
        {">=2.21.5", TORCH_VERSION},
        {">2.21.5", SYSTEM_VERSION},
        {">=2.31", SYSTEM_VERSION},
        {"==2.32", SYSTEM_VERSION},
        {">=2.20,<2.22", TORCH_VERSION},
        {"", TORCH_VERSION},
        {"==2.32.3,>2.0", SYSTEM_VERSION},
        {"==1.2.3", 0},
        {">=2.31,<2.20", 0},
        {"2.21", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_serves(ENV(torch_here, system_here, text("NCCL_REDIRECT_REQUIRE=%s", cases[i].range)), C_PROGRAM,
                      cases[i].version);
}

static void torch_out_of_range_gives_way_to_the_system(void **state) {
    (void)state;
    struct result result = run(
        WITH_SHIM,
        ENV(torch_here, system_here, "NCCL_REDIRECT=torch", "NCCL_REDIRECT_REQUIRE=>=2.31", "NCCL_REDIRECT_LOG=info"),
        C_PROGRAM);
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    assert_contains(result.err, "info: passed over: /");
    assert_contains(result.err, "/nvidia/nccl/lib/libnccl.so.2 (torch, from PYTHONPATH) is NCCL 2.21.5, outside "
                                "NCCL_REDIRECT_REQUIRE=>=2.31\n");
    assert_contains(result.err, "warning: NCCL_REDIRECT=torch: torch's NCCL cannot be used (");
    assert_contains(result.err, "is NCCL 2.21.5, outside NCCL_REDIRECT_REQUIRE=");
    assert_contains(result.err, "info: NCCL 2.32.3 is active: /");
    assert_contains(result.err, "(system, from LD_LIBRARY_PATH; decided by NCCL_REDIRECT=torch)");
    result_free(&result);
}

static void a_named_file_out_of_range_is_an_error(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", NAMED_NCCL), "NCCL_REDIRECT_REQUIRE=>=2.27", system_here),
            CMD(program("linked_version")));
    assert_int_equal(result.status, 2);
    assert_contains(
        result.err,
        text("%s (path, from NCCL_REDIRECT) is NCCL 2.14.3, outside NCCL_REDIRECT_REQUIRE=>=2.27", NAMED_NCCL));
    assert_one_line(result.err);
    result_free(&result);
}

static void a_library_that_does_not_say_its_version_is_out(void **state) {
    (void)state;
    const char *path = library("recording"); /* has the functions of NCCL, not its text */
    assert_serves(ENV(text("NCCL_REDIRECT=%s", path), "NCCL_REDIRECT_REQUIRE=>=2"), C_PROGRAM, 0);
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", path), "NCCL_REDIRECT_REQUIRE=>=2"), C_PROGRAM);
    assert_contains(result.err, "has no version string, so NCCL_REDIRECT_REQUIRE=>=2 cannot be checked");
    result_free(&result);
    result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", path)), C_PROGRAM);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_in_range_serves),
        cmocka_unit_test(torch_out_of_range_gives_way_to_the_system),
        cmocka_unit_test(a_named_file_out_of_range_is_an_error),
        cmocka_unit_test(a_library_that_does_not_say_its_version_is_out),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
