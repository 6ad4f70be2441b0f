/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vLLM's variables: VLLM_USE_PYTORCH_NCCL chooses where NCCL_REDIRECT does not, VLLM_NCCL_SO_PATH is the system's file.
 */
#include "trees.h"

#include <string.h>

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

static void it_chooses_like_ours(void **state) {
    static const struct {
        const char *variables[2];
        int version;
    } cases[] = {
        {{"VLLM_USE_PYTORCH_NCCL=true", "X=1"}, TORCH_VERSION},
        {{"VLLM_USE_PYTORCH_NCCL=1", "X=1"}, TORCH_VERSION},
        {{"VLLM_USE_PYTORCH_NCCL=false", "X=1"}, SYSTEM_VERSION},
        {{"VLLM_USE_PYTORCH_NCCL=0", "X=1"}, SYSTEM_VERSION},
        {{"VLLM_USE_PYTORCH_NCCL=", "X=1"}, TORCH_VERSION},
        {{"VLLM_USE_PYTORCH_NCCL=0", "NCCL_REDIRECT="}, SYSTEM_VERSION},
        {{"VLLM_USE_PYTORCH_NCCL=0", "NCCL_REDIRECT=torch"}, TORCH_VERSION},
        {{"VLLM_USE_PYTORCH_NCCL=1", "NCCL_REDIRECT=system"}, SYSTEM_VERSION},
        {{"VLLM_USE_PYTORCH_NCCL=yes", "X=1"}, 0},
        {{"VLLM_USE_PYTORCH_NCCL=yes", "NCCL_REDIRECT=torch"}, TORCH_VERSION},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_serves(ENV(torch_here, system_here, cases[i].variables[0], cases[i].variables[1]), C_PROGRAM,
                      cases[i].version);
}

static void both_set_is_one_line(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(torch_here, "NCCL_REDIRECT=torch", "VLLM_USE_PYTORCH_NCCL=0"), C_PROGRAM);
    assert_contains(result.err, "warning: VLLM_USE_PYTORCH_NCCL=0 has no effect, NCCL_REDIRECT=torch decides");
    assert_one_line(result.err);
    result_free(&result);
    result = run(WITH_SHIM, ENV(torch_here, "VLLM_USE_PYTORCH_NCCL=1"), C_PROGRAM);
    assert_string_equal(result.err, "");
    result_free(&result);
}

static void a_wrong_value_names_the_right_ones(void **state) {
    (void)state;
    struct result result = run(WITH_SHIM, ENV(torch_here, "VLLM_USE_PYTORCH_NCCL=on"), C_PROGRAM);
    assert_contains(result.err, "error: VLLM_USE_PYTORCH_NCCL=\"on\" is not valid; use true, 1, false or 0. NCCL is "
                                "disabled in this process");
    assert_one_line(result.err);
    result_free(&result);
}

static void the_path_is_the_systems_file(void **state) {
    (void)state;
    const char *named = text("VLLM_NCCL_SO_PATH=%s", NAMED_NCCL);
    static const char *const systems[] = {"NCCL_REDIRECT=system", "VLLM_USE_PYTORCH_NCCL=0"};
    for (size_t i = 0; i < 2; i++) {
        struct result result = run(WITH_SHIM, ENV(torch_here, system_here, named, systems[i]), C_PROGRAM);
        assert_contains(result.out, text("version=%d", NAMED_VERSION));
        assert_string_equal(result.err, "");
        result_free(&result);
    }
    /* Under auto and torch the system's file comes after torch's. */
    assert_serves(ENV(no_torch, no_python, system_here, named), C_PROGRAM, NAMED_VERSION);
    assert_serves(ENV(no_torch, no_python, system_here, named, "NCCL_REDIRECT=torch"), C_PROGRAM, NAMED_VERSION);
}

static void a_path_without_effect_is_one_line(void **state) {
    (void)state;
    const char *named = text("VLLM_NCCL_SO_PATH=%s", NAMED_NCCL);
    const char *const choices[] = {"X=1", "NCCL_REDIRECT=torch", text("NCCL_REDIRECT=%s", TORCH_NCCL)};
    for (size_t i = 0; i < 3; i++) {
        struct result result = run(WITH_SHIM, ENV(torch_here, system_here, named, choices[i]), C_PROGRAM);
        assert_contains(result.out, text("version=%d", TORCH_VERSION));
        assert_contains(result.err, text("warning: %s is not used: %s decides, and NCCL 2.21.5 (/", named,
                                         i == 0 ? "the default" : choices[i]));
        assert_one_line(result.err);
        result_free(&result);
    }
    /* It is the active file, by another name: nothing to report. */
    named = text("VLLM_NCCL_SO_PATH=%s/x.so", folder_with("x.so", TORCH_NCCL));
    struct result result = run(WITH_SHIM, ENV(torch_here, named), C_PROGRAM);
    assert_contains(result.out, text("version=%d", TORCH_VERSION));
    assert_string_equal(result.err, "");
    result_free(&result);
}

static void a_refused_path_is_one_line_and_the_next_serves(void **state) {
    (void)state;
    const char *missing = text("%s/libnccl.so.2", fresh_folder()), *wrong = text("%s/libnccl.so.2", fresh_folder());
    write_file(wrong, "not a library at all, though it is called one; long enough to have room for "
                      "an ELF header\n");
    const char *const cases[][2] = {{missing, "does not exist"}, {wrong, "is not a library (no ELF header)"}};
    for (size_t i = 0; i < 2; i++) {
        struct result result = run(
            WITH_SHIM, ENV(system_here, text("VLLM_NCCL_SO_PATH=%s", cases[i][0]), "NCCL_REDIRECT=system"), C_PROGRAM);
        assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
        assert_contains(result.err,
                        text("warning: VLLM_NCCL_SO_PATH is not used: \"%s\" %s. NCCL 2.32.3 is active instead: /",
                             cases[i][0], cases[i][1]));
        assert_one_line(result.err);
        result_free(&result);
    }
}

/* The same file was refused as torch's before: it is not validated again, but the line is there. */
static void a_path_that_torchs_method_has_refused(void **state) {
    (void)state;
    const char *named = text("VLLM_NCCL_SO_PATH=%s", TORCH_NCCL);
    struct result result =
        run(WITH_SHIM, ENV(torch_here, system_here, named, "NCCL_REDIRECT_REQUIRE=>=2.31"), C_PROGRAM);
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    assert_contains(result.err, text("warning: VLLM_NCCL_SO_PATH is not used: \"%s\" was tried before", TORCH_NCCL));
    assert_one_line(result.err);
    result_free(&result);
}

static void a_path_to_the_shim_is_skipped(void **state) {
    (void)state;
    const char *copy = text("%s/libnccl.so.2", fresh_folder());
    copy_file(shim(), copy, -1);
    const char *const paths[] = {shim(), copy, text("%s/x", folder_with("x", shim()))};
    static const struct {
        const char *choice;
        int version;
    } cases[] = {{"NCCL_REDIRECT=system", SYSTEM_VERSION}, {"NCCL_REDIRECT=auto", TORCH_VERSION}};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++) {
            /* As vLLM does: the program opens the file that the variable names. */
            struct result result =
                run(WITH_SHIM, ENV(torch_here, system_here, text("VLLM_NCCL_SO_PATH=%s", paths[i]), cases[j].choice),
                    CMD(program("open_nccl"), strstr(paths[i], "nccl") ? paths[i] : "libnccl.so.2"));
            assert_contains(result.out, text("version=%d", cases[j].version));
            assert_string_equal(result.err, "");
            result_free(&result);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_chooses_like_ours),
        cmocka_unit_test(both_set_is_one_line),
        cmocka_unit_test(a_wrong_value_names_the_right_ones),
        cmocka_unit_test(the_path_is_the_systems_file),
        cmocka_unit_test(a_path_without_effect_is_one_line),
        cmocka_unit_test(a_refused_path_is_one_line_and_the_next_serves),
        cmocka_unit_test(a_path_that_torchs_method_has_refused),
        cmocka_unit_test(a_path_to_the_shim_is_skipped),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
