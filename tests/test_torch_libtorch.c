/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torch for C++ (libtorch): found by the program's RUNPATH, LD_LIBRARY_PATH, Torch_DIR, LIBTORCH and conda's prefix,
 * and where it is mapped already.
 */
#include "trees.h"

#include <stdio.h>

static const char *decoy, *no_python, *libtorch, *wheels;

/* A libtorch as the zip has it, and its like inside the package of a Python, with the wheel of NCCL beside it. */
static int set_up(void **state) {
    (void)state;
    decoy = folder_with("libnccl.so.2", SYSTEM_NCCL);
    no_python = text("PATH=%s", fresh_folder());
    libtorch = text("%s/libtorch", fresh_folder());
    make_link(library("torch_stand_in"), text("%s/lib/libtorch.so", libtorch));
    make_link(library("torch_stand_in"), text("%s/lib/libtorch_cuda.so", libtorch));
    make_link(NAMED_NCCL, text("%s/lib/libnccl.so.2", libtorch));
    make_folder(text("%s/share/cmake/Torch", libtorch));
    wheels = fresh_folder();
    make_torch(wheels);
    make_link(library("torch_stand_in"), text("%s/torch/lib/libtorch.so", wheels));
    make_folder(text("%s/torch/share/cmake/Torch", wheels));
    make_wheel(wheels, TORCH_NCCL);
    return 0;
}

static void the_variables(void **state) {
    (void)state;
    const char *system = text("LD_LIBRARY_PATH=%s", decoy);
    const struct {
        const char *variables[2];
        int version;
    } cases[] = {
        {{system, "X=1"}, SYSTEM_VERSION},
        {{text("LD_LIBRARY_PATH=%s:%s/lib", decoy, libtorch), "X=1"}, NAMED_VERSION},
        {{text("LD_LIBRARY_PATH=%s:%s/torch/lib", decoy, wheels), "X=1"}, TORCH_VERSION},
        {{text("LD_LIBRARY_PATH=%s:%s/torch/lib//", decoy, wheels), "X=1"}, TORCH_VERSION},
        {{system, text("Torch_DIR=%s/share/cmake/Torch", libtorch)}, NAMED_VERSION},
        {{system, text("Torch_DIR=%s/torch/share/cmake/Torch/", wheels)}, TORCH_VERSION},
        {{system, text("LIBTORCH=%s", libtorch)}, NAMED_VERSION},
        {{system, text("LIBTORCH=%s/torch/", wheels)}, TORCH_VERSION},
        {{system, text("CONDA_PREFIX=%s", libtorch)}, NAMED_VERSION},
        {{text("LIBTORCH=%s/torch", wheels), text("LD_LIBRARY_PATH=%s:%s/lib", decoy, libtorch)}, NAMED_VERSION},
        {{text("LIBTORCH=%s", libtorch), text("Torch_DIR=%s/torch/share/cmake/Torch", wheels)}, TORCH_VERSION},
        {{text("LIBTORCH=%s", libtorch), "NCCL_REDIRECT=system"}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *environment = ENV(no_python, cases[i].variables[0], cases[i].variables[1],
                                             cases[i].version ? "X=1" : text("NCCL_REDIRECT_REQUIRE===2.14.3"));
        assert_serves(environment, C_PROGRAM, cases[i].version);
    }
}

/* A torch of Python comes first: that is the one which a Python program would import. */
static void after_pythons_torch(void **state) {
    (void)state;
    assert_serves(ENV(no_python, text("PYTHONPATH=%s", wheels), text("LIBTORCH=%s", libtorch)), C_PROGRAM,
                  TORCH_VERSION);
}

static void the_runpath_of_the_program(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *copy = text("%s/bin/program", folder);
    copy_file(program("linked_runpath"), copy, -1);
    make_link(text("%s/lib", libtorch), text("%s/bin/own", folder));
    assert_serves(ENV(no_python, text("LD_LIBRARY_PATH=%s", decoy)), CMD(copy), NAMED_VERSION);
    assert_serves(ENV(no_python, text("LD_LIBRARY_PATH=%s", decoy), "NCCL_REDIRECT=torch", "NCCL_REDIRECT_FALLBACK=0"),
                  CMD(copy), NAMED_VERSION);
    /* The same program elsewhere, without a libtorch beside it. */
    const char *alone = text("%s/program", fresh_folder());
    copy_file(program("linked_runpath"), alone, -1);
    assert_serves(ENV(no_python, text("LD_LIBRARY_PATH=%s", decoy)), CMD(alone), SYSTEM_VERSION);
}

/* The torch that the process has mapped counts before every other one. */
static void the_torch_that_is_mapped(void **state) {
    (void)state;
    const char *mapped = text("%s/torch/lib/libtorch_cuda.so", wheels), *other = fresh_folder();
    make_torch(other);
    make_wheel(other, NAMED_NCCL);
    const char *const *environment = ENV(no_python, text("LD_LIBRARY_PATH=%s", decoy), text("PYTHONPATH=%s", other),
                                         text("NCCL_REDIRECT_TORCH=%s", other));
    assert_serves(environment, CMD(program("open_nccl"), text("+%s", mapped), "libnccl.so.2"), TORCH_VERSION);
    assert_serves(environment, C_PROGRAM, NAMED_VERSION);
}

/* An NCCL of torch that a preload has mapped, where torch itself is not yet there. */
static void the_nccl_of_torch_that_is_mapped(void **state) {
    (void)state;
    const char *mapped = text("%s/nvidia/nccl/lib/libnccl.so.2", wheels);
    const char *const *environment =
        ENV(no_python, text("LD_LIBRARY_PATH=%s", decoy), text("LD_PRELOAD=%s", mapped), "NCCL_REDIRECT_LOG=info");
    struct result result = run(WITH_SHIM, environment, CMD(program("linked_version")));
    assert_contains(result.err, text("info: NCCL 2.21.5 is active: %s (torch, from the torch that is loaded", mapped));
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_variables),
        cmocka_unit_test(after_pythons_torch),
        cmocka_unit_test(the_runpath_of_the_program),
        cmocka_unit_test(the_torch_that_is_mapped),
        cmocka_unit_test(the_nccl_of_torch_that_is_mapped),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
