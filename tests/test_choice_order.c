/* NCCL_REDIRECT=auto, torch, system and a path: which of several NCCLs serves, and what is tried after what. */
#include "trees.h"

/* "Nothing else": a range that one NCCL of the test meets, and none of the system where the tests run. */
#define ONLY_NAMED "NCCL_REDIRECT_REQUIRE===2.14.3"

static const char *torch_here, *system_here, *no_torch, *no_python;

static int set_up(void **state) {
    (void)state;
    const char *site = fresh_folder();
    make_torch(site);
    make_wheel(site, TORCH_NCCL);
    torch_here = text("PYTHONPATH=%s", site);
    system_here = text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", SYSTEM_NCCL));
    no_torch = text("PYTHONPATH=%s", fresh_folder());
    no_python = text("PATH=%s", fresh_folder());
    return 0;
}

static void the_variable_decides(void **state) {
    const struct {
        const char *choice;
        int version;
    } cases[] = {
        {"NCCL_REDIRECT=auto", TORCH_VERSION},
        {"NCCL_REDIRECT=torch", TORCH_VERSION},
        {"NCCL_REDIRECT=system", SYSTEM_VERSION},
        {"NCCL_REDIRECT=", TORCH_VERSION},
        {"NCCL_REDIRECT=System", SYSTEM_VERSION},
        {"UNRELATED=1", TORCH_VERSION},
        {text("NCCL_REDIRECT=%s", NAMED_NCCL), NAMED_VERSION},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *environment = ENV(torch_here, system_here, cases[i].choice);
        assert_serves(environment, C_PROGRAM, cases[i].version);
        assert_serves(environment, CMD(program("linked_version")), cases[i].version);
    }
    /* Without the shim the dynamic loader decides, whatever the variables say. */
    struct result result = run(WITHOUT_SHIM, ENV(torch_here, system_here, "NCCL_REDIRECT=torch"), C_PROGRAM);
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    result_free(&result);
}

static void auto_takes_the_system_where_no_torch_is(void **state) {
    (void)state;
    assert_serves(ENV(no_torch, no_python, system_here), C_PROGRAM, SYSTEM_VERSION);
}

static void auto_takes_the_programs_own_file_before_the_systems(void **state) {
    (void)state;
    const char *own = text("%s/libnccl.so.2", folder_with("libnccl.so.2", NAMED_NCCL));
    assert_serves(ENV(torch_here, system_here, ONLY_NAMED), CMD(program("open_nccl"), own), NAMED_VERSION);
    assert_serves(ENV(torch_here, system_here), CMD(program("open_nccl"), own), TORCH_VERSION);
    assert_serves(ENV(no_torch, no_python, system_here), CMD(program("open_nccl"), own), NAMED_VERSION);
    /* The other methods never come to it. */
    assert_serves(ENV(system_here, ONLY_NAMED, "NCCL_REDIRECT=system"), CMD(program("open_nccl"), own), 0);
    assert_serves(ENV(torch_here, ONLY_NAMED, "NCCL_REDIRECT=torch"), CMD(program("open_nccl"), own), 0);
}

static void torch_falls_back_to_the_system_with_one_line(void **state) {
    (void)state;
    struct result result =
        run(WITH_SHIM, ENV(no_torch, no_python, system_here, "NCCL_REDIRECT=torch"), CMD(program("linked_version")));
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    assert_contains(result.err, text("warning: NCCL_REDIRECT=torch: torch's NCCL cannot be used (no torch in %s",
                                     no_torch + sizeof "PYTHONPATH=" - 1));
    assert_contains(result.err, "; the system's NCCL 2.32.3 is active instead: /");
    assert_contains(result.err, "NCCL_REDIRECT_FALLBACK=0");
    assert_one_line(result.err);
    result_free(&result);
    result = run(WITH_SHIM, ENV(no_torch, no_python, system_here, "NCCL_REDIRECT=torch", "NCCL_REDIRECT_FALLBACK=1"),
                 C_PROGRAM);
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    result_free(&result);
}

static void strict_torch_means_torch_only(void **state) {
    (void)state;
    const char *strict = "NCCL_REDIRECT_FALLBACK=0", *torch = "NCCL_REDIRECT=torch";
    assert_serves(ENV(torch_here, system_here, torch, strict), C_PROGRAM, TORCH_VERSION);
    struct result result =
        run(WITH_SHIM, ENV(no_torch, no_python, system_here, torch, strict), CMD(program("linked_version")));
    assert_int_equal(result.status, 2); /* ncclSystemError */
    assert_contains(result.out, "version=-1 code=2 id=2");
    assert_contains(result.err, "error: NCCL_REDIRECT=torch cannot be met, NCCL is disabled in this process");
    assert_contains(result.err, text("no torch in %s", no_torch + sizeof "PYTHONPATH=" - 1));
    assert_one_line(result.err);
    result_free(&result);
}

static void a_path_is_never_replaced(void **state) {
    (void)state;
    const char *missing = text("%s/libnccl.so.2", fresh_folder());
    struct result result =
        run(WITH_SHIM, ENV(torch_here, system_here, text("NCCL_REDIRECT=%s", missing)), CMD(program("linked_version")));
    assert_int_equal(result.status, 2);
    assert_contains(result.err, text("error: NCCL_REDIRECT=%s cannot be met", missing));
    assert_contains(result.err, text("%s (path, from NCCL_REDIRECT) does not exist", missing));
    assert_one_line(result.err);
    assert_contains(result.out, text("last=\"NCCL is disabled by nccl-redirect: %s", missing));
    result_free(&result);
    /* A file named otherwise than libnccl.so is as good as any. */
    const char *odd = text("NCCL_REDIRECT=%s/my-nccl", folder_with("my-nccl", NAMED_NCCL));
    assert_serves(ENV(torch_here, odd), CMD(program("linked_version")), NAMED_VERSION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_variable_decides),
        cmocka_unit_test(auto_takes_the_system_where_no_torch_is),
        cmocka_unit_test(auto_takes_the_programs_own_file_before_the_systems),
        cmocka_unit_test(torch_falls_back_to_the_system_with_one_line),
        cmocka_unit_test(strict_torch_means_torch_only),
        cmocka_unit_test(a_path_is_never_replaced),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
