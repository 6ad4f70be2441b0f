/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When variables are read: those that lead to folders as they were at the start of the process, as the dynamic loader
 * and Python read them; those that choose as they are at the decision. Another thread may change the environment.
 */
#include "trees.h"

#include <stdio.h>

#define CHANGED(...) CMD(program("open_after_setenv"), __VA_ARGS__)

static const char *torch_site, *system_folder, *named_folder, *no_python, *other_home;

static int set_up(void **state) {
    (void)state;
    torch_site = fresh_folder();
    make_torch(torch_site);
    make_wheel(torch_site, TORCH_NCCL);
    system_folder = folder_with("libnccl.so.2", SYSTEM_NCCL);
    named_folder = folder_with("libnccl.so.2", NAMED_NCCL);
    no_python = text("PATH=%s", fresh_folder());
    other_home = fresh_folder();
    make_link(NAMED_NCCL, text("%s/lib/libnccl.so.2", other_home));
    return 0;
}

/* A module that sets NCCL_HOME in its own process, and one that sets LD_LIBRARY_PATH too late for the loader. */
static void folders_are_those_of_the_start(void **state) {
    (void)state;
    const char *here = text("LD_LIBRARY_PATH=%s", system_folder), *later = text("LD_LIBRARY_PATH=%s", named_folder);
    const char *set_home = text("NCCL_HOME=%s", other_home), *only = "NCCL_REDIRECT_REQUIRE===2.14.3";
    assert_serves(ENV(no_python, here), CHANGED(later, set_home), SYSTEM_VERSION);
    assert_serves(ENV(no_python, here), CHANGED("LD_LIBRARY_PATH="), SYSTEM_VERSION);
    assert_serves(ENV(no_python, here), CHANGED("LD_LIBRARY_PATH=", "--title"), SYSTEM_VERSION);
    /* It is there, and would be found if it had been set at the start. */
    assert_serves(ENV(no_python, here, "NCCL_REDIRECT=system", only), CHANGED(later, set_home), 0);
    assert_serves(ENV(no_python, here, "NCCL_REDIRECT=system", only, set_home), CHANGED("X=1"), NAMED_VERSION);
    assert_serves(ENV(no_python, here),
                  CHANGED(text("VIRTUAL_ENV=%s", make_venv(false)), text("PYTHONPATH=%s", torch_site)), SYSTEM_VERSION);
    assert_serves(ENV(no_python, here, text("PYTHONPATH=%s", torch_site)), CHANGED("PYTHONPATH="), TORCH_VERSION);
    /* The loader itself does not read it anew either. */
    struct result result = run(WITHOUT_SHIM, ENV(here), CHANGED(later));
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    result_free(&result);
}

static void what_chooses_is_read_at_the_decision(void **state) {
    (void)state;
    const char *here = text("LD_LIBRARY_PATH=%s", system_folder), *torch = text("PYTHONPATH=%s", torch_site);
    assert_serves(ENV(here, torch), CHANGED("NCCL_REDIRECT=system"), SYSTEM_VERSION);
    assert_serves(ENV(here, torch, "NCCL_REDIRECT=system"), CHANGED("NCCL_REDIRECT="), TORCH_VERSION);
    assert_serves(ENV(here, torch, "NCCL_REDIRECT=system"), CHANGED("NCCL_REDIRECT=torch", "--title"), TORCH_VERSION);
    assert_serves(ENV(here, torch), CHANGED(text("NCCL_REDIRECT=%s", NAMED_NCCL)), NAMED_VERSION);
    assert_serves(ENV(here, torch), CHANGED("VLLM_USE_PYTORCH_NCCL=0"), SYSTEM_VERSION);
    assert_serves(ENV(here, torch, "NCCL_REDIRECT=system"), CHANGED(text("VLLM_NCCL_SO_PATH=%s", NAMED_NCCL)),
                  NAMED_VERSION);
}

/* The title is written over the variables; a copy of them is kept elsewhere. */
static void a_program_that_changes_its_title(void **state) {
    (void)state;
    const char *here = text("LD_LIBRARY_PATH=%s", system_folder), *torch = text("PYTHONPATH=%s", torch_site);
    assert_serves(ENV(no_python, here), CHANGED("--title"), SYSTEM_VERSION);
    assert_serves(ENV(no_python, here, torch), CHANGED("--title"), TORCH_VERSION);
    assert_serves(ENV(no_python, here, torch, "NCCL_REDIRECT=system"), CHANGED("--title"), SYSTEM_VERSION);
}

/* C has no lock for readers; getenv beside this ends the process by a signal nearly every time. */
static void another_thread_sets_variables(void **state) {
    (void)state;
    const char *here = text("LD_LIBRARY_PATH=%s", system_folder), *torch = text("PYTHONPATH=%s", torch_site);
    for (int i = 0; i < 4; i++) {
        assert_serves(ENV(no_python, here, torch), CHANGED("--race", "NCCL_REDIRECT=system"), SYSTEM_VERSION);
        assert_serves(ENV(no_python, here, torch), CHANGED("--race"), TORCH_VERSION);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_those_of_the_start),
        cmocka_unit_test(what_chooses_is_read_at_the_decision),
        cmocka_unit_test(a_program_that_changes_its_title),
        cmocka_unit_test(another_thread_sets_variables),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
