/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system's NCCL: every place, in order. The order as the search lists it; then what is really active, in a file
 * system of the test's own (a mount namespace) where the system's places can be filled.
 */
#include "trees.h"
#include "loader.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- as listed ---- */

static bool collect(void *arg, const struct ncr_candidate *candidate) {
    /* What this machine's cache has in it stands between the same neighbours everywhere. */
    if (strcmp(candidate->origin, "/etc/ld.so.cache") != 0)
        ncr_text_add(arg, "%s %s\n", candidate->origin, candidate->path);
    return false;
}

static const char *listed(bool rccl_first) {
    struct ncr_text list = {0};
    struct ncr_config config = {.choice = NCR_CHOOSE_SYSTEM,
                                .system_path = getenv("VLLM_NCCL_SO_PATH"),
                                .system_variable = "VLLM_NCCL_SO_PATH"};
    struct ncr_search search = {.config = &config, .rccl_first = rccl_first, .visit = collect, .arg = &list};
    assert_false(ncr_system(&search));
    return ncr_text_get(&list);
}

#if defined(__x86_64__)
#define CPU "x86_64"
#else
#define CPU "aarch64"
#endif

#define USUAL(name)                                                                                                    \
    "the CUDA toolkit /usr/local/cuda/lib64/" name "\n"                                                                \
    "the CUDA toolkit /usr/local/cuda/lib/" name "\n"                                                                  \
    "ROCm /opt/rocm/lib/" name "\n"                                                                                    \
    "the distribution /usr/lib/" CPU "-linux-gnu/" name "\n"                                                           \
    "the distribution /usr/lib64/" name "\n"                                                                           \
    "the distribution /usr/lib/" name "\n"                                                                             \
    "the distribution /usr/local/lib/" name "\n"
#define NAMED(name)                                                                                                    \
    "LD_LIBRARY_PATH /a/" name "\n"                                                                                    \
    "LD_LIBRARY_PATH ./" name "\n" /* refused if it is there: relative */                                              \
    "LD_LIBRARY_PATH /b/" name "\n"                                                                                    \
    "NCCL_HOME /nccl/lib/" name "\n"                                                                                   \
    "NCCL_HOME /nccl/lib64/" name "\n"                                                                                 \
    "NCCL_HOME /nccl/build/lib/" name "\n"                                                                             \
    "CUDA_HOME /cuda/lib64/" name "\n"                                                                                 \
    "CUDA_HOME /cuda/lib/" name "\n"

static void every_place_in_order(void **state) {
    (void)state;
    clearenv();
    assert_string_equal(listed(false), USUAL("libnccl.so.2") USUAL("librccl.so.1"));
    assert_string_equal(listed(true), USUAL("librccl.so.1") USUAL("libnccl.so.2"));
    setenv("LD_LIBRARY_PATH", "/a::/b", 1);
    setenv("NCCL_HOME", "/nccl", 1);
    setenv("CUDA_HOME", "/cuda", 1);
    setenv("VLLM_NCCL_SO_PATH", "my.so", 1);
    assert_string_equal(listed(false), "VLLM_NCCL_SO_PATH my.so\n" NAMED("libnccl.so.2") USUAL("libnccl.so.2")
                                           NAMED("librccl.so.1") USUAL("librccl.so.1"));
}

/* ---- as active ---- */

static bool can_mount(void) {
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/sh", "-c", "unshare -m true"));
    bool good = geteuid() == 0 && result.status == 0;
    result_free(&result);
    return good;
}

/*
 * A script that runs a program where /usr/local, /opt and the cache have what `places` puts there. /usr/lib cannot be
 * replaced likewise: /bin/sh needs it.
 */
static const char *inside(const char *places, const char *program_line) {
    const char *own = fresh_folder();
    return text("set -e; cd %s; mkdir -p local opt; "
                "mount --bind local /usr/local; mount --bind opt /opt; "
                "echo /usr/local/cached >conf; %s "
                "ldconfig -C %s/cache -f conf 2>/dev/null; mount --bind cache /etc/ld.so.cache; exec %s",
                own, places, own, program_line);
}

static void where_each_place_has_one(void **state) {
    (void)state;
    if (!can_mount()) {
        print_message("skipped: no right to make a mount namespace (unshare -m)\n");
        skip();
    }
    const char *a = TORCH_NCCL, *b = SYSTEM_NCCL, *c = NAMED_NCCL, *const ask = program("open_nccl");
    const char *cached = text("mkdir -p /usr/local/cached; cp %s /usr/local/cached/libnccl.so.2;", a);
    const char *toolkit = text("mkdir -p /usr/local/cuda/lib64; ln -s %s /usr/local/cuda/lib64/libnccl.so.2;", b);
    const char *local = text("mkdir -p /usr/local/lib; ln -s %s /usr/local/lib/libnccl.so.2;", c);
    const char *sdk =
        text("d=/opt/nvidia/hpc_sdk/Linux_" CPU "; for v in 24.9 24.11; do mkdir -p $d/$v/comm_libs/nccl/lib; "
             "done; ln -s %s $d/24.9/comm_libs/nccl/lib/libnccl.so.2; ln -s %s "
             "$d/24.11/comm_libs/nccl/lib/libnccl.so.2;",
             a, b);
    const char *home = text("NCCL_HOME=%s", fresh_folder()), *cuda = text("CUDA_HOME=%s", fresh_folder());
    make_link(c, text("%s/build/lib/libnccl.so.2", home + sizeof "NCCL_HOME=" - 1));
    make_link(b, text("%s/lib/libnccl.so.2", cuda + sizeof "CUDA_HOME=" - 1));
    const char *path = text("LD_LIBRARY_PATH=%s:%s", fresh_folder(), folder_with("libnccl.so.2", c));
    const struct {
        const char *variables[3], *places;
        int version;
    } cases[] = {
        {{"X=1", "X=1", "X=1"}, text("%s%s%s", cached, toolkit, local), TORCH_VERSION},
        {{path, home, cuda}, text("%s%s", cached, toolkit), NAMED_VERSION},
        {{"X=1", home, cuda}, text("%s%s", cached, toolkit), TORCH_VERSION},
        {{"X=1", home, cuda}, toolkit, NAMED_VERSION},
        {{"X=1", "X=1", cuda}, local, SYSTEM_VERSION},
        {{"X=1", "X=1", "X=1"}, text("%s%s%s", toolkit, local, sdk), SYSTEM_VERSION},
        {{"X=1", "X=1", "X=1"}, text("%s%s", local, sdk), NAMED_VERSION},
        {{"X=1", "X=1", "X=1"}, sdk, SYSTEM_VERSION}, /* 24.11 is newer than 24.9 */
        {{"X=1", "X=1", "X=1"}, "", 0},
    };
    if (access("/usr/lib/" CPU "-linux-gnu/libnccl.so.2", F_OK) == 0 || access("/usr/lib64/libnccl.so.2", F_OK) == 0 ||
        access("/usr/lib/libnccl.so.2", F_OK) == 0) {
        print_message("skipped: this distribution has an NCCL in /usr/lib, which cannot be taken away\n");
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_serves(ENV("NCCL_REDIRECT=system", cases[i].variables[0], cases[i].variables[1], cases[i].variables[2],
                          "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
                      CMD("/bin/sh", "-c",
                          text("exec unshare -m sh -c '%s'", inside(cases[i].places, text("%s libnccl.so.2", ask)))),
                      cases[i].version);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_each_place_has_one),
        cmocka_unit_test(every_place_in_order), /* empties the environment: last */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
