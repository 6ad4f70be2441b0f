/*
 * torch's NCCL, found without starting Python: in what is mapped already, where NCCL_REDIRECT_TORCH says, among the
 * packages of the Python that runs or would run, and as libtorch for C++.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/* Where one torch is. `folder` is its own (…/torch), `site` the folder that it lies in, or NULL for libtorch. */
struct torch {
    struct ncr_search *search;
    char *folder;
    char *site;
    const char *origin;
    struct ncr_text without; /* folders of a torch that has no GPU library */
    struct ncr_text looked;  /* folders that hold no torch */
};

static bool offer(struct torch *torch, char *path) {
    bool stop = path && ncr_offer(torch->search, NCR_BY_TORCH, torch->origin, path);
    free(path);
    return stop;
}

static bool exists(char *path) {
    bool found = path && ncr_file_exists(path);
    free(path);
    return found;
}

/* A conda package keeps NCCL and torch's libraries in the prefix, three levels above site-packages. */
static char *conda_prefix(const struct torch *torch) {
    char *prefix = torch->site ? ncr_parent(torch->site, 3) : NULL;
    if (prefix && !exists(ncr_path("%s/conda-meta", prefix))) {
        free(prefix);
        prefix = NULL;
    }
    return prefix;
}

static bool has_gpu_library(const char *folder) {
    return exists(ncr_path("%s/lib/libtorch_cuda.so", folder)) || exists(ncr_path("%s/lib/libtorch_hip.so", folder));
}

/* The wheel of NCCL may lie in another package folder of the same Python than torch. */
static bool offer_wheel_in(void *arg, const char *origin, const char *folder) {
    struct torch *torch = arg;
    (void)origin;
    if (strcmp(folder, torch->site) == 0)
        return false;
    char *path = ncr_path("%s/nvidia/nccl/lib/libnccl.so.2", folder);
    bool stop = path && ncr_file_exists(path) && ncr_offer(torch->search, NCR_BY_TORCH, torch->origin, path);
    free(path);
    return stop;
}

static bool offer_libraries(struct torch *torch, const char *prefix) {
    const char *folder = torch->folder, *site = torch->site;
    if (site && offer(torch, ncr_path("%s/nvidia/nccl/lib/libnccl.so.2", site)))
        return true;
    static const char *const bundled[] = {"libnccl.so.2", "libnccl.so", "librccl.so.1", "librccl.so"};
    for (int i = 0; i < 4; i++)
        if (offer(torch, ncr_path("%s/lib/%s", folder, bundled[i])))
            return true;
    if (prefix && offer(torch, ncr_path("%s/lib/libnccl.so.2", prefix)))
        return true;
    if (site && ncr_python_folders(torch->search->subject, offer_wheel_in, torch))
        return true;
    /* Linked statically into torch and exported from there. */
    return offer(torch, ncr_path("%s/lib/libtorch_cuda.so", folder)) ||
           offer(torch, ncr_path("%s/lib/libtorch_hip.so", folder)) ||
           (prefix && offer(torch, ncr_path("%s/lib/libtorch_cuda.so", prefix)));
}

/* Offer the NCCLs of the torch in `folder`. */
static bool offer_torch(struct torch *torch, const char *origin, const char *folder, const char *site) {
    torch->origin = origin;
    torch->folder = strdup(folder);
    torch->site = site ? strdup(site) : NULL;
    char *prefix = conda_prefix(torch);
    bool gpu = torch->folder && (has_gpu_library(folder) || exists(ncr_path("%s/lib/libtorch_cuda.so", prefix ? prefix : folder)));
    bool stop = gpu && offer_libraries(torch, prefix);
    if (!gpu)
        ncr_text_add(&torch->without, "%s%s", torch->without.length ? ", " : "", folder);
    free(prefix);
    free(torch->folder);
    free(torch->site);
    torch->folder = torch->site = NULL;
    return stop;
}

/* ---- what is mapped already ---- */

static bool find_mapped_torch(void *arg, const struct ncr_object *object) {
    char **found = arg;
    const char *base = ncr_basename(object->path);
    if (strcmp(base, "libtorch_cuda.so") != 0 && strcmp(base, "libtorch_hip.so") != 0)
        return false;
    *found = ncr_parent(object->path, 2);
    return *found != NULL;
}

static bool offer_mapped(struct torch *torch) {
    char *folder = NULL;
    if (!ncr_subject_objects(torch->search->subject, find_mapped_torch, &folder))
        return false;
    bool package = strcmp(ncr_basename(folder), "torch") == 0;
    char *site = package ? ncr_parent(folder, 1) : NULL;
    bool stop = offer_torch(torch, "the torch that is loaded", folder, site);
    free(site);
    free(folder);
    return stop;
}

/* ---- in folders ---- */

struct visit {
    struct torch *torch;
    bool found; /* a torch is here: Python would import this one and look no further */
    bool stop;
};

static bool visit_site(void *arg, const char *origin, const char *folder) {
    struct visit *visit = arg;
    char *torch = ncr_path("%s/torch", folder);
    if (torch && ncr_file_exists(torch)) {
        visit->found = true;
        visit->stop = offer_torch(visit->torch, origin, torch, folder);
    } else {
        struct ncr_text *looked = &visit->torch->looked;
        ncr_text_add(looked, "%s%s", looked->length ? ", " : "", folder);
    }
    free(torch);
    return visit->found;
}

static bool offer_named(struct torch *torch, const char *named) {
    struct visit visit = {.torch = torch};
    const char *origin = "NCCL_REDIRECT_TORCH";
    if (visit_site(&visit, origin, named))
        return visit.stop;
    char *folder = strdup(named);
    for (size_t end = folder ? strlen(folder) : 0; end > 1 && folder[end - 1] == '/'; end--)
        folder[end - 1] = '\0';
    bool stop = false;
    if (folder && exists(ncr_path("%s/lib", folder))) {
        char *site = strcmp(ncr_basename(folder), "torch") == 0 ? ncr_parent(folder, 1) : NULL;
        stop = offer_torch(torch, origin, folder, site);
        free(site);
    }
    free(folder);
    return stop;
}

/* ---- libtorch for C++ ---- */

static bool visit_library_folder(void *arg, const char *origin, const char *folder) {
    struct visit *visit = arg;
    if (!exists(ncr_path("%s/libtorch_cuda.so", folder)) && !exists(ncr_path("%s/libtorch_hip.so", folder)))
        return false;
    char *torch = ncr_parent(folder, 1);
    visit->found = true;
    visit->stop = torch && offer_torch(visit->torch, origin, torch, NULL);
    free(torch);
    return true;
}

static bool find_runpath(void *arg, const struct ncr_object *object) {
    *(const char **)arg = object->runpath;
    return true; /* the first object is the program */
}

static bool visit_program_folder(void *arg, const char *origin, const char *folder) {
    const struct visit *visit = arg;
    char *program = ncr_subject_path(visit->torch->search->subject), *expanded = program ? ncr_expand_origin(folder, program) : NULL;
    bool stop = expanded && visit_library_folder(arg, origin, expanded);
    free(expanded);
    free(program);
    return stop;
}

static bool offer_libtorch(struct torch *torch) {
    struct visit visit = {.torch = torch};
    const char *runpath = NULL;
    ncr_subject_objects(torch->search->subject, find_runpath, &runpath);
    if (ncr_split_path(runpath, "the program's RUNPATH", visit_program_folder, &visit) ||
        ncr_split_path(ncr_environment("LD_LIBRARY_PATH"), "LD_LIBRARY_PATH", visit_library_folder, &visit))
        return visit.stop;

    const char *cmake = ncr_environment("Torch_DIR"), *libtorch = ncr_environment("LIBTORCH");
    char *root = cmake ? ncr_parent(cmake, 3) : NULL; /* TORCH/share/cmake/Torch */
    bool stop = root && has_gpu_library(root) && offer_torch(torch, "Torch_DIR", root, NULL);
    free(root);
    return stop || (libtorch && has_gpu_library(libtorch) && offer_torch(torch, "LIBTORCH", libtorch, NULL));
}

/** Offer torch's NCCLs in the order of docs/selection.md. */
bool ncr_torch(struct ncr_search *search) {
    struct torch torch = {.search = search};
    struct visit visit = {.torch = &torch};
    const char *named = search->config->torch;
    bool stop = offer_mapped(&torch) || (named && offer_named(&torch, named));
    if (!stop && !named)
        stop = (ncr_python_folders(search->subject, visit_site, &visit) && visit.stop) || (!visit.found && offer_libtorch(&torch));
    if (!stop) {
        if (torch.without.length)
            ncr_text_add(&search->notes, "; the torch in %s has no CUDA or ROCm library", torch.without.data);
        if (torch.looked.length && !visit.found)
            ncr_text_add(&search->notes, "; no torch in %s", torch.looked.data);
    }
    ncr_text_free(&torch.without);
    ncr_text_free(&torch.looked);
    return stop;
}
