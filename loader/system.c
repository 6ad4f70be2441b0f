/* SPDX-License-Identifier: Apache-2.0 */
/* The system's NCCL: where an administrator, a module system, a CUDA installation or a distribution puts one. */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#define HPC_SDK "/opt/nvidia/hpc_sdk/Linux_x86_64"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#define HPC_SDK "/opt/nvidia/hpc_sdk/Linux_aarch64"
#endif

/* One pass over the places, looking for one name. */
struct pass {
    struct ncr_search *search;
    const char *name;
};

static bool offer_in(void *arg, const char *origin, const char *folder) {
    struct pass *pass = arg;
    char *path = ncr_path("%s/%s", folder, pass->name);
    bool stop = path && ncr_offer(pass->search, NCR_BY_SYSTEM, origin, path);
    free(path);
    return stop;
}

static bool offer_unless_bundle(void *arg, const char *origin, const char *folder) {
    struct pass *pass = arg;
    char *expanded =
        strchr(folder, '$') ? ncr_expand_tokens(folder, ncr_search_program(pass->search)) : ncr_copy(folder);
    bool stop = expanded && !ncr_is_bundle(pass->search, expanded) && offer_in(arg, origin, expanded);
    free(expanded);
    return stop;
}

/* The user's list, which programs that bring their libraries along keep under another name. */
static bool offer_library_path(struct pass *pass) {
    static const char original[] = "LD_LIBRARY_PATH_ORIG", current[] = "LD_LIBRARY_PATH";
    const char *variable = ncr_environment(original) ? original : current;
    return ncr_split_library_path(ncr_environment(variable), variable, offer_unless_bundle, pass);
}

static bool offer_below(struct pass *pass, const char *variable, const char *const *folders) {
    const char *root = ncr_environment(variable);
    bool stop = false;
    for (int i = 0; root && folders[i] && !stop; i++) {
        char *folder = ncr_path("%s%s", root, folders[i]);
        stop = folder && offer_in(pass, variable, folder);
        free(folder);
    }
    return stop;
}

static bool offer_cached(void *arg, const char *origin, const char *path) {
    return ncr_offer(((struct pass *)arg)->search, NCR_BY_SYSTEM, origin, path);
}

/* HPC SDK versions lie side by side, named by year and month: 24.11 is newer than 24.9. */
static bool offer_hpc_sdk(struct pass *pass) {
    char *newest = ncr_file_newest(HPC_SDK, "2");
    char *path = newest ? ncr_path("%s/%s/comm_libs/nccl/lib", HPC_SDK, newest) : NULL;
    bool stop = path && offer_in(pass, "the HPC SDK", path);
    free(path);
    free(newest);
    return stop;
}

static bool offer_usual(struct pass *pass) {
    static const char *const usual[][2] = {
        {"the CUDA toolkit", "/usr/local/cuda/lib64"},
        {"the CUDA toolkit", "/usr/local/cuda/lib"},
        {"ROCm", "/opt/rocm/lib"},
        {"the distribution", "/usr/lib/" MULTIARCH},
        {"the distribution", "/usr/lib64"},
        {"the distribution", "/usr/lib"},
        {"the distribution", "/usr/local/lib"},
    };
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (offer_in(pass, usual[i][0], usual[i][1]))
            return true;
    return offer_hpc_sdk(pass);
}

/*
 * A bare name means what it means to dlopen, to which the program would pass it: the first file of that name which the
 * loader finds.
 */
static bool offer_named(struct ncr_search *search) {
    const char *named = search->config->system_path, *variable = search->config->system_variable;
    if (!named)
        return false;
    if (strchr(named, '/'))
        return ncr_offer(search, NCR_BY_SYSTEM, variable, named);
    char *found = ncr_system_path(search);
    const struct ncr_candidate candidate = {
        .method = NCR_BY_SYSTEM,
        .origin = variable,
        .path = found ? found : named,
        .refusal = found ? NULL : "is not found in LD_LIBRARY_PATH, /etc/ld.so.cache and the loader's default folders",
    };
    bool stop = search->visit(search->arg, &candidate);
    free(found);
    return stop;
}

static bool offer_everywhere(struct ncr_search *search, const char *name) {
    static const char *const nccl_home[] = {"/lib", "/lib64", "/build/lib", NULL};
    static const char *const cuda_home[] = {"/lib64", "/lib", NULL};
    struct pass pass = {search, name};
    return offer_library_path(&pass) || ncr_ldcache(name, offer_cached, &pass) ||
           offer_below(&pass, "NCCL_HOME", nccl_home) || offer_below(&pass, "CUDA_HOME", cuda_home) ||
           offer_usual(&pass);
}

/**
 * Offer the system's NCCLs in the order of docs/selection.md; an RCCL only if there is no NCCL, or the other way round.
 */
bool ncr_system(struct ncr_search *search) {
    static const char *const names[] = {"libnccl.so.2", "librccl.so.1"};
    bool rccl = search->vendor ? search->vendor == NCR_AMD : search->rccl_first;
    if (search->system_done)
        return false;
    search->system_done = true;
    return offer_named(search) || offer_everywhere(search, names[rccl]) ||
           (!search->vendor && offer_everywhere(search, names[!rccl]));
}

/** The file that VLLM_NCCL_SO_PATH or SGLANG_NCCL_SO_PATH names, as a fresh string; NULL if a bare name is not found. */
char *ncr_system_path(struct ncr_search *search) {
    const char *named = search->config->system_path;
    struct ncr_ld_hit hit = {NULL, NULL, NCR_LD_NOWHERE};
    struct ncr_asking asking;
    if (strchr(named, '/'))
        return ncr_copy(named);
    ncr_asking_begin(&asking, search, NULL);
    ncr_ld_search(named, &asking.chain[0], NCR_LD_ALL, &hit);
    return hit.path;
}
