/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NCCL of one torch: the one that its libtorch_cuda.so (or libtorch_hip.so) would get from the dynamic loader, what
 * torch's Python code opens before, or an NCCL inside libtorch itself.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/* The library of a torch that needs NCCL. */
struct library {
    struct ncr_search *search;
    const struct ncr_torch *torch;
    char *path;
    bool hip;
    struct ncr_links links; /* the NCCL that it is linked with, and its paths; of a mapped one only the NCCL */
    bool settled;           /* its NCCL was found and offered; even if it is not usable, any other one is not torch's */
    bool stop;              /* the visitor wants no more */
};

static void offer_path(struct library *library, const char *path) {
    const struct ncr_candidate candidate = {.method = NCR_BY_TORCH,
                                            .origin = library->torch->origin,
                                            .path = path,
                                            .vendor = library->hip ? NCR_AMD : NCR_NVIDIA};
    if (!library->stop && path)
        library->stop = library->search->visit(library->search->arg, &candidate);
}

static void offer(struct library *library, char *path) {
    offer_path(library, path);
    free(path);
}

static void settle(struct library *library, char *path) {
    library->settled = true;
    offer(library, path);
}

static bool exists(char *path) {
    bool found = path && ncr_file_exists(path);
    free(path);
    return found;
}

/* ---- wheels ---- */

static bool settle_wheel_in(void *arg, const char *origin, const char *folder) {
    struct library *library = arg;
    (void)origin;
    char *path = ncr_path("%s/nvidia/nccl/lib/libnccl.so.2", folder);
    if (path && ncr_file_exists(path))
        settle(library, path);
    else
        free(path);
    return library->settled;
}

/*
 * Bazel and Pants give each wheel a folder of its own: DEPS/pip_torch/site-packages, DEPS/torch-2.15.0.whl. That of NCCL
 * lies beside it under such a name.
 */
static void settle_wheel_beside(struct library *library) {
    const char *site = library->torch->site;
    for (unsigned levels = 0; levels < 2 && !library->settled; levels++) {
        char *own = ncr_parent(site, levels), *all = own ? ncr_parent(own, 1) : NULL;
        char *inside = own ? ncr_path("%s/nvidia/nccl/lib/libnccl.so.2", site + strlen(own)) : NULL;
        char *found = all && inside && strstr(ncr_basename(own), "torch") ? ncr_file_among(all, "nccl", inside) : NULL;
        if (found)
            settle(library, found);
        free(inside);
        free(all);
        free(own);
    }
}

static void settle_wheel(struct library *library) {
    if (library->torch->site && !library->hip && !settle_wheel_in(library, NULL, library->torch->site) &&
        !ncr_python_folders(library->search->subject, settle_wheel_in, library))
        settle_wheel_beside(library);
}

/* ---- by the dynamic loader ---- */

enum {
    RPATH = 1 << NCR_LD_RPATH,
    RUNPATH = 1 << NCR_LD_RUNPATH,
    LIBRARY_PATH = 1 << NCR_LD_LIBRARY_PATH,
    OF_ALL = 1 << NCR_LD_CACHE | 1 << NCR_LD_DEFAULT,
};

/*
 * A torch that is not yet mapped, or is about to be: its library is going to be loaded by libtorch.so and libtorch_python.so beside it.
 * Their DT_RPATH counts for it too, and is read only if its own leads nowhere.
 */
static bool search_by_loaders(const struct library *library, const struct ncr_asker *asker, struct ncr_ld_hit *hit) {
    static const char *const names[] = {"libtorch.so", "libtorch_python.so"};
    bool found = false;
    for (int i = 0; i < 2 && !found && !asker->runpath; i++) {
        struct ncr_elf elf;
        struct ncr_links links;
        char *path = ncr_path("%s/%s", library->torch->folder, names[i]);
        ncr_elf_open(&elf, path ? path : "");
        ncr_elf_links(&elf, &links);
        ncr_elf_close(&elf);
        const struct ncr_asker loader = {.path = path, .rpath = links.rpath};
        found = links.rpath && ncr_ld_search(library->links.nccl, &loader, RPATH, hit);
        ncr_links_free(&links);
        free(path);
    }
    return found;
}

/* Torches of wheels say so themselves: "$ORIGIN/../../nvidia/nccl/lib". */
static bool is_built_for_wheels(const struct ncr_asker *asker) {
    const char *paths = asker->rpath ? asker->rpath : asker->runpath;
    return paths && strstr(paths, "nvidia/nccl/lib");
}

/*
 * Before it comes to what all programs share (the cache, LD_LIBRARY_PATH behind a DT_RPATH), a wheel: what the program
 * opens by its path is there before libtorch is, which then gets it; and torch's own Python code opens one by its path,
 * if the torch was built for wheels and they are not where its DT_RPATH says.
 */
static void settle_linked(struct library *library, const struct ncr_asker *asker) {
    const char *nccl = library->links.nccl;
    bool mapped = library->torch->mapped, whole = mapped && library->torch->mapped->end;
    unsigned own = RPATH | (asker->runpath ? LIBRARY_PATH | RUNPATH : 0);
    struct ncr_ld_hit hit;
    if (ncr_ld_search(nccl, asker, own, &hit) || (!whole && search_by_loaders(library, asker, &hit))) {
        settle(library, hit.path);
        return;
    }
    if (!mapped && ncr_is_wheel_path(library->search->requested))
        offer_path(library, library->search->requested);
    if (!mapped && is_built_for_wheels(asker))
        settle_wheel(library);
    if (!library->stop && !library->settled && ncr_ld_search(nccl, asker, (LIBRARY_PATH | OF_ALL) & ~own, &hit))
        settle(library, hit.path);
}

static void settle_by_loader(struct library *library) {
    struct ncr_asking asking;
    const struct ncr_torch *torch = library->torch;
    ncr_asking_begin(&asking, library->search, torch->mapped);
    struct ncr_asker own = asking.chain[0]; /* of one that is not mapped only the program is known behind it */
    if (!torch->mapped)
        own = (struct ncr_asker){library->path, library->links.rpath, library->links.runpath, &asking.chain[0]};
    settle_linked(library, &own);
}

/* ---- by where packages keep it ---- */

/* For torches that are not linked with an NCCL, or that the loader finds none for. */
static void settle_by_folders(struct library *library, const char *prefix) {
    static const char *const bundled[][2] = {{"libnccl.so.2", "libnccl.so"}, {"librccl.so.1", "librccl.so"}};
    const struct ncr_torch *torch = library->torch;
    if (torch->site && !library->hip)
        settle_wheel_in(library, NULL, torch->site);
    for (int i = 0; i < 2; i++)
        offer(library, ncr_path("%s/%s", torch->folder, bundled[library->hip][i]));
    if (prefix)
        offer(library, ncr_path("%s/lib/%s", prefix, bundled[library->hip][0]));
    if (!library->settled && !library->stop)
        settle_wheel(library);
    if (!library->settled) /* linked into libtorch itself, and exported from there */
        offer_path(library, library->path);
}

/* A conda package keeps NCCL and torch's libraries in the prefix, three levels above site-packages. */
static char *conda_prefix(const struct ncr_torch *torch) {
    char *prefix = torch->site ? ncr_parent(torch->site, 3) : NULL;
    if (prefix && !exists(ncr_path("%s/conda-meta", prefix))) {
        free(prefix);
        prefix = NULL;
    }
    return prefix;
}

/* Find the library for GPUs. False if there is none: a torch for CPUs, which has no NCCL. */
static bool open_library(struct library *library, const char *prefix) {
    static const char *const names[] = {"libtorch_cuda.so", "libtorch_hip.so"};
    const struct ncr_torch *torch = library->torch;
    for (int i = 0; i < 3 && (i < 2 || prefix); i++) {
        struct ncr_elf elf;
        library->hip = i == 1;
        library->path = i < 2 ? ncr_path("%s/%s", torch->folder, names[i]) : ncr_path("%s/lib/%s", prefix, names[0]);
        ncr_elf_open(&elf, library->path ? library->path : "");
        bool missing = elf.missing;
        if (!missing)
            ncr_elf_links(&elf, &library->links);
        ncr_elf_close(&elf);
        if (!missing)
            return true;
        free(library->path);
    }
    library->path = NULL;
    return false;
}

static bool take_mapped(struct library *library) {
    const struct ncr_object *mapped = library->torch->mapped;
    library->hip = strcmp(ncr_basename(mapped->path), "libtorch_hip.so") == 0;
    library->path = ncr_copy(mapped->path);
    library->links.nccl = mapped->needs_nccl ? ncr_copy(mapped->needs_nccl) : NULL;
    return true;
}

/**
 * Offer the NCCL of a torch. Returns whether the visitor stopped; *gpu is whether the torch has a library for GPUs at
 * all.
 */
bool ncr_torch_nccl(struct ncr_search *search, const struct ncr_torch *torch, bool *gpu) {
    struct library library = {.search = search, .torch = torch};
    char *prefix = conda_prefix(torch);
    *gpu = torch->mapped ? take_mapped(&library) : open_library(&library, prefix);
    if (*gpu && library.links.nccl)
        settle_by_loader(&library);
    if (*gpu && !library.settled && !library.stop)
        settle_by_folders(&library, prefix);
    ncr_links_free(&library.links);
    free(library.path);
    free(prefix);
    return library.stop;
}
