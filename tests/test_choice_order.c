/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL_REDIRECT=auto, torch, system and a path: which of several NCCLs is active, and what is tried after what. */
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

/* "One line": exactly this on stderr, or nothing. */
static void says(const char *const *environment, const char *const *command, int version, const char *line) {
    struct result result = run(WITH_SHIM, environment, command);
    assert_contains(result.out, text("version=%d", version));
    assert_lines(result.err, *line ? 1 : 0);
    assert_contains(result.err, line);
    result_free(&result);
}

/* One NCCL per process: who opens another one by its path later is told, once, where the user named none. */
static void a_second_file_is_one_line(void **state) {
    (void)state;
    const char *first = text("%s/libnccl.so.2", folder_with("libnccl.so.2", NAMED_NCCL)),
               *copy = text("%s/libnccl.so.2", fresh_folder());
    const char *second = text("%s/libnccl.so.2", folder_with("libnccl.so.2", SYSTEM_NCCL)),
               *broken = text("%s/libnccl.so.2", fresh_folder());
    const char *const *both = CMD(program("open_nccl"), first, second, second);
    const char *line = text(
        "warning: the program opens NCCL 2.32.3, %s, but gets the one that is active in this process, NCCL 2.14.3: ",
        second);
    copy_file(NAMED_NCCL, copy, -1);
    write_file(broken, "no library");
    says(ENV(no_torch, no_python), both, NAMED_VERSION, line);
    says(ENV(no_torch, no_python, "NCCL_REDIRECT=auto"), both, NAMED_VERSION,
         text("NCCL_REDIRECT=%s would choose", second));
    says(ENV(no_torch, no_python, "NCCL_REDIRECT=program"), both, NAMED_VERSION, "");
    says(ENV(no_torch, no_python, text("NCCL_REDIRECT=%s", NAMED_NCCL)), both, NAMED_VERSION, "");
    says(ENV(torch_here), CMD(program("open_nccl"), second), TORCH_VERSION,
         "but gets the one that is active in this process, NCCL 2.21.5");
    /* The same file by another name, a copy, what is none, a bare name: nothing to say. */
    says(ENV(no_torch, no_python, system_here),
         CMD(program("open_nccl"), first, NAMED_NCCL, copy, broken, "libnccl.so.2"), NAMED_VERSION, "");
}

/* torch's comes first, and the program is linked to another. */
static void torchs_instead_of_the_linked_one_is_one_line(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *copy = text("%s/program", folder);
    copy_file(program("linked_runpath"), copy, -1);
    make_link(NAMED_NCCL, text("%s/own/libnccl.so.2", folder));
    const char *line =
        text("warning: the program is linked to %s/own/libnccl.so.2, but torch's NCCL 2.21.5 is active: ", folder);
    says(ENV(torch_here), CMD(copy), TORCH_VERSION, line);
    says(ENV(torch_here, "NCCL_REDIRECT=torch"), CMD(copy), TORCH_VERSION, "");
    says(ENV(torch_here, "NCCL_REDIRECT=program"), CMD(copy), NAMED_VERSION, "");
    says(ENV(no_torch, no_python), CMD(copy), NAMED_VERSION, "");
    says(ENV(torch_here), CMD(program("linked_version")), TORCH_VERSION, "");
    struct result result = run(WITHOUT_SHIM, ENV(torch_here), CMD(copy));
    assert_contains(result.out, text("version=%d", NAMED_VERSION));
    result_free(&result);
}

/* By default nobody ends on the system's in silence because his own is broken. */
static void the_systems_instead_of_a_broken_one_is_one_line(void **state) {
    (void)state;
    const char *site = fresh_folder(), *broken = text("%s/libnccl.so.2", fresh_folder());
    make_torch(site);
    write_file(text("%s/nvidia/nccl/lib/libnccl.so.2", site), "no library");
    write_file(broken, "no library");
    says(
        ENV(text("PYTHONPATH=%s", site), system_here), C_PROGRAM, SYSTEM_VERSION,
        text(
            "warning: the NCCL that this program would use by itself cannot be used (%s/nvidia/nccl/lib/libnccl.so.2 (torch, ",
            site));
    says(ENV(no_torch, no_python, system_here), CMD(program("open_nccl"), broken), SYSTEM_VERSION,
         "is too short for a library");
    says(ENV(text("PYTHONPATH=%s", site), system_here, "NCCL_REDIRECT=system"), C_PROGRAM, SYSTEM_VERSION, "");
    says(ENV(torch_here, system_here, "NCCL_REDIRECT_REQUIRE=>=2.30"), C_PROGRAM, SYSTEM_VERSION, "");
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
    assert_contains(result.err, "error: cannot satisfy NCCL_REDIRECT=torch; NCCL is disabled in this process");
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
    assert_contains(result.err, text("error: cannot satisfy NCCL_REDIRECT=%s;", missing));
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
        cmocka_unit_test(a_second_file_is_one_line),
        cmocka_unit_test(torchs_instead_of_the_linked_one_is_one_line),
        cmocka_unit_test(the_systems_instead_of_a_broken_one_is_one_line),
        cmocka_unit_test(torch_falls_back_to_the_system_with_one_line),
        cmocka_unit_test(strict_torch_means_torch_only),
        cmocka_unit_test(a_path_is_never_replaced),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
