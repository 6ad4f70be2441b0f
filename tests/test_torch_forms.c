/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a torch keeps its NCCL: beside itself, inside, in another package folder, in conda's prefix, or linked into
 * itself.
 */
#include "trees.h"

#include <stdio.h>

static const char *decoy, *no_python;

static int set_up(void **state) {
    (void)state;
    decoy = text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", SYSTEM_NCCL));
    no_python = text("PATH=%s", fresh_folder());
    return 0;
}

static void serves_from(const char *site, int version) {
    assert_serves(ENV(decoy, no_python, text("PYTHONPATH=%s", site)), C_PROGRAM, version);
}

static void the_wheel_beside_it(void **state) {
    (void)state;
    const char *site = fresh_folder();
    make_torch(site);
    serves_from(site, SYSTEM_VERSION);
    make_wheel(site, TORCH_NCCL);
    serves_from(site, TORCH_VERSION);
}

static void inside_torchs_folder(void **state) {
    static const char *const names[] = {"libnccl.so.2", "libnccl.so"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *site = fresh_folder();
        make_torch(site);
        make_link(NAMED_NCCL, text("%s/torch/lib/%s", site, names[i]));
        serves_from(site, NAMED_VERSION);
        make_wheel(site, TORCH_NCCL); /* comes first */
        serves_from(site, TORCH_VERSION);
    }
}

/* An RCCL over host memory; NVIDIA's is never taken in its place. */
static void a_torch_for_rocm(void **state) {
    (void)state;
    static const char *const names[] = {"librccl.so.1", "librccl.so"};
    const char *rccl = built("hostmem/rccl/librccl.so.1");
    for (size_t i = 0; i < 2; i++) {
        const char *site = fresh_folder(), *name = text("%s/torch/lib/%s", site, names[i]);
        write_file(text("%s/torch/__init__.py", site), "");
        make_link(library("torch_stand_in"), text("%s/torch/lib/libtorch_hip.so", site));
        make_link(rccl, name);
        serves_from(site, 22806);
        make_wheel(site, TORCH_NCCL);
        serves_from(site, 22806);
        remove(name);
        make_link(NAMED_NCCL, name);
        serves_from(site, SYSTEM_VERSION);
    }
}

static void the_wheel_in_another_folder_of_the_same_python(void **state) {
    (void)state;
    const char *first = fresh_folder(), *second = fresh_folder();
    make_torch(first);
    make_wheel(second, TORCH_NCCL);
    assert_serves(ENV(decoy, no_python, text("PYTHONPATH=%s:%s", first, second)), C_PROGRAM, TORCH_VERSION);
    assert_serves(ENV(decoy, no_python, text("PYTHONPATH=%s:%s", second, first)), C_PROGRAM, TORCH_VERSION);
}

/* torch for CPUs has no use for an NCCL: one that lies beside it came with another package. */
static void a_torch_for_cpus_has_none(void **state) {
    (void)state;
    const char *site = fresh_folder();
    write_file(text("%s/torch/__init__.py", site), "");
    make_link(library("torch_stand_in"), text("%s/torch/lib/libtorch_cpu.so", site));
    make_wheel(site, TORCH_NCCL);
    serves_from(site, SYSTEM_VERSION);
    struct result result =
        run(WITH_SHIM, ENV(no_python, text("PYTHONPATH=%s", site), "NCCL_REDIRECT=torch", "NCCL_REDIRECT_FALLBACK=0"),
            C_PROGRAM);
    assert_contains(result.err, text("the torch in %s/torch/lib has no CUDA or ROCm library", site));
    result_free(&result);
}

/* Python would import the first torch, so no other one counts. */
static void only_the_first_torch_counts(void **state) {
    (void)state;
    const char *first = fresh_folder(), *second = fresh_folder();
    make_torch(first);
    make_wheel(first, NAMED_NCCL);
    make_torch(second);
    make_wheel(second, TORCH_NCCL);
    assert_serves(ENV(decoy, no_python, text("PYTHONPATH=%s:%s", first, second)), C_PROGRAM, NAMED_VERSION);
    const char *cpu = fresh_folder();
    write_file(text("%s/torch/__init__.py", cpu), "");
    assert_serves(ENV(decoy, no_python, text("PYTHONPATH=%s:%s", cpu, second)), C_PROGRAM, SYSTEM_VERSION);
}

/*
 * As in torch 1.x: NCCL is linked into libtorch_cuda.so, which exports it. Here the NCCL over host memory, linked
 * likewise.
 */
static void linked_into_libtorch_cuda(void **state) {
    (void)state;
    const char *site = fresh_folder();
    write_file(text("%s/torch/__init__.py", site), "");
    make_link(built("hostmem/torch/libtorch_cuda.so"), text("%s/torch/lib/libtorch_cuda.so", site));
    serves_from(site, 22809);
    struct result result =
        run(WITH_SHIM, ENV(no_python, text("PYTHONPATH=%s", site), "NCCL_REDIRECT_LOG=info"), C_PROGRAM);
    assert_contains(result.err, text("NCCL 2.28.9 is active: "
                                     "%s/torch/lib/libtorch_cuda.so (torch, from PYTHONPATH",
                                     site));
    result_free(&result);
    make_wheel(site, TORCH_NCCL); /* comes first */
    serves_from(site, TORCH_VERSION);
}

static void named_by_the_variable(void **state) {
    (void)state;
    const char *site = fresh_folder(), *other = fresh_folder(), *libtorch = text("%s/libtorch", fresh_folder());
    make_torch(site);
    make_wheel(site, TORCH_NCCL);
    make_torch(other);
    make_wheel(other, NAMED_NCCL);
    make_link(library("torch_stand_in"), text("%s/lib/libtorch_cuda.so", libtorch));
    make_link(NAMED_NCCL, text("%s/lib/libnccl.so.2", libtorch));
    const struct {
        const char *named;
        int version;
    } cases[] = {
        {site, TORCH_VERSION},
        {text("%s/", site), TORCH_VERSION},
        {text("%s/torch", site), TORCH_VERSION},
        {text("%s/torch///", site), TORCH_VERSION},
        {libtorch, NAMED_VERSION},
    };
    const char *elsewhere = text("PYTHONPATH=%s", other);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_serves(ENV(decoy, no_python, elsewhere, text("NCCL_REDIRECT_TORCH=%s", cases[i].named)), C_PROGRAM,
                      cases[i].version);
}

/* What the user named is not replaced in silence. */
static void named_and_not_there(void **state) {
    (void)state;
    const char *site = fresh_folder(), *named = text("NCCL_REDIRECT_TORCH=%s", fresh_folder());
    make_torch(site);
    make_wheel(site, TORCH_NCCL);
    const char *const *environment = ENV(decoy, no_python, text("PYTHONPATH=%s", site), named);
    struct result result = run(WITH_SHIM, environment, C_PROGRAM);
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    assert_contains(result.err, text("warning: %s is not used: it leads to no usable NCCL (no torch in %s)", named,
                                     named + sizeof "NCCL_REDIRECT_TORCH=" - 1));
    assert_one_line(result.err);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wheel_beside_it),       cmocka_unit_test(inside_torchs_folder),
        cmocka_unit_test(a_torch_for_rocm),          cmocka_unit_test(the_wheel_in_another_folder_of_the_same_python),
        cmocka_unit_test(a_torch_for_cpus_has_none), cmocka_unit_test(only_the_first_torch_counts),
        cmocka_unit_test(linked_into_libtorch_cuda), cmocka_unit_test(named_by_the_variable),
        cmocka_unit_test(named_and_not_there),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
