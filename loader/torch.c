/*
 * torch's NCCL, found without starting Python: in what is mapped already, where NCCL_REDIRECT_TORCH says, among the
 * packages of the Python that runs or would run, and as libtorch for C++.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/*
 * Where one torch is: `folder` has its libraries; `site` is the package folder that it lies in, or NULL for a libtorch.
 */
struct torch {
    struct ncr_search *search;
    const char *folder;
    char *site;
    const char *origin;
    bool found;              /* there was one, usable or not */
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
    return exists(ncr_path("%s/libtorch_cuda.so", folder)) || exists(ncr_path("%s/libtorch_hip.so", folder));
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
        if (offer(torch, ncr_path("%s/%s", folder, bundled[i])))
            return true;
    if (prefix && offer(torch, ncr_path("%s/lib/libnccl.so.2", prefix)))
        return true;
    /* A wheel beside torch is torch's, usable or not: what lies further away belongs to something else. */
    if (site && exists(ncr_path("%s/nvidia/nccl/lib/libnccl.so.2", site)))
        return false;
    if (site && ncr_python_folders(torch->search->subject, offer_wheel_in, torch))
        return true;
    /* Linked statically into torch and exported from there. */
    return offer(torch, ncr_path("%s/libtorch_cuda.so", folder)) ||
           offer(torch, ncr_path("%s/libtorch_hip.so", folder)) ||
           (prefix && offer(torch, ncr_path("%s/lib/libtorch_cuda.so", prefix)));
}

static char *package_folder(const char *libraries) {
    char *own = ncr_parent(libraries, 0), *package = own ? ncr_parent(own, 1) : NULL, *site = NULL;
    if (package && strcmp(ncr_basename(package), "torch") == 0 && strcmp(ncr_basename(own), "lib") == 0)
        site = ncr_parent(package, 1);
    free(package);
    free(own);
    return site;
}

/* Offer the NCCLs of the torch whose libraries lie in `folder`. */
static bool offer_torch(struct torch *torch, const char *origin, const char *folder) {
    if (!torch->search->torch.length)
        ncr_text_add(&torch->search->torch, "%s", folder);
    torch->found = true;
    torch->origin = origin;
    torch->folder = folder;
    torch->site = package_folder(folder);
    char *prefix = conda_prefix(torch);
    bool gpu = has_gpu_library(folder) || (prefix && exists(ncr_path("%s/lib/libtorch_cuda.so", prefix)));
    bool stop = gpu && offer_libraries(torch, prefix);
    if (!gpu)
        ncr_text_add(&torch->without, "%s%s", torch->without.length ? ", " : "", folder);
    free(prefix);
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
    *found = ncr_parent(object->path, 1);
    return *found != NULL;
}

/* A NCCL in the folder of torch's wheel or of torch itself. */
static bool find_mapped_nccl(void *arg, const struct ncr_object *object) {
    char *folder = object->is_nccl ? ncr_parent(object->path, 1) : NULL;
    const char *end = folder ? folder + strlen(folder) : NULL;
    bool bundled = folder && ((end - folder > 16 && strcmp(end - 16, "/nvidia/nccl/lib") == 0) ||
                              (end - folder > 10 && strcmp(end - 10, "/torch/lib") == 0));
    free(folder);
    if (bundled)
        *(char **)arg = strdup(object->path);
    return bundled;
}

static bool offer_mapped(struct torch *torch) {
    const struct ncr_subject *subject = torch->search->subject;
    char *folder = NULL, *nccl = NULL;
    torch->origin = "the torch that is loaded";
    bool stop = ncr_subject_objects(subject, find_mapped_torch, &folder) && offer_torch(torch, torch->origin, folder);
    if (!stop && ncr_subject_objects(subject, find_mapped_nccl, &nccl))
        stop = offer(torch, nccl);
    free(folder);
    return stop;
}

/* ---- in folders ---- */

struct visit {
    struct torch *torch;
    bool found; /* a torch is here: Python would import this one and look no further */
    bool stop;
};

static void note_without(struct torch *torch, const char *folder) {
    ncr_text_add(&torch->looked, "%s%s", torch->looked.length ? ", " : "", folder);
}

/* Python passes over a folder called torch that is no package, such as one of sources in PYTHONPATH. */
static bool visit_site(void *arg, const char *origin, const char *folder) {
    struct visit *visit = arg;
    char *libraries = ncr_path("%s/torch/lib", folder);
    visit->found = libraries && exists(ncr_path("%s/torch/__init__.py", folder));
    if (visit->found)
        visit->stop = offer_torch(visit->torch, origin, libraries);
    else
        note_without(visit->torch, folder);
    free(libraries);
    return visit->found;
}

/* What NCCL_REDIRECT_TORCH names: package folder, torch's own folder, or that of a libtorch. */
static bool offer_named(struct torch *torch, const char *named) {
    char *folder = ncr_parent(named, 0);
    char *inside = folder ? ncr_path("%s/torch/lib", folder) : NULL, *own = folder ? ncr_path("%s/lib", folder) : NULL;
    bool stop = false;
    if (*named != '/')
        ncr_text_add(&torch->search->notes,
                     "; NCCL_REDIRECT_TORCH=\"%s\" is a relative path, which is another folder "
                     "in every folder: use an absolute path",
                     named);
    else if (inside && ncr_file_exists(inside))
        stop = offer_torch(torch, "NCCL_REDIRECT_TORCH", inside);
    else if (own && ncr_file_exists(own))
        stop = offer_torch(torch, "NCCL_REDIRECT_TORCH", own);
    else
        note_without(torch, named);
    free(own);
    free(inside);
    free(folder);
    return stop;
}

/* ---- libtorch for C++ ---- */

/* Every libtorch has a libtorch.so, whatever it computes on: one question for each folder. */
static bool visit_library_folder(void *arg, const char *origin, const char *folder) {
    struct visit *visit = arg;
    if (!exists(ncr_path("%s/libtorch.so", folder)))
        return false;
    visit->found = true;
    visit->stop = offer_torch(visit->torch, origin, folder);
    return true;
}

static bool visit_root(struct visit *visit, const char *variable, unsigned levels) {
    const char *value = ncr_environment(variable);
    char *root = value && *value == '/' ? ncr_parent(value, levels) : NULL,
         *folder = root ? ncr_path("%s/lib", root) : NULL;
    bool found = folder && visit_library_folder(visit, variable, folder);
    free(folder);
    free(root);
    return found;
}

static bool find_runpath(void *arg, const struct ncr_object *object) {
    *(const char **)arg = object->runpath;
    return true; /* the first object is the program */
}

static bool visit_program_folder(void *arg, const char *origin, const char *folder) {
    const struct visit *visit = arg;
    char *program = ncr_subject_path(visit->torch->search->subject);
    char *expanded = program ? ncr_expand_origin(folder, program) : NULL;
    bool stop = expanded && *expanded == '/' && visit_library_folder(arg, origin, expanded);
    free(expanded);
    free(program);
    return stop;
}

static void visit_libtorch(struct visit *visit) {
    const char *runpath = NULL;
    ncr_subject_objects(visit->torch->search->subject, find_runpath, &runpath);
    if (ncr_split_path(runpath, "the program's RUNPATH", visit_program_folder, visit) ||
        ncr_split_absolute(ncr_environment("LD_LIBRARY_PATH"), "LD_LIBRARY_PATH", visit_library_folder, visit) ||
        visit_root(visit, "Torch_DIR", 3) /* TORCH/share/cmake/Torch */ || visit_root(visit, "LIBTORCH", 0))
        return;
    visit_root(visit, "CONDA_PREFIX", 0); /* conda's libtorch, which needs no Python */
}

/* The torch that Python would import; where there is none, the first libtorch. */
static bool offer_found(struct torch *torch) {
    struct visit visit = {.torch = torch};
    ncr_python_folders(torch->search->subject, visit_site, &visit);
    if (!visit.found)
        visit_libtorch(&visit);
    return visit.stop;
}

static void explain_absence(struct torch *torch) {
    struct ncr_text *notes = &torch->search->notes;
    if (torch->without.length)
        ncr_text_add(notes, "; the torch in %s has no CUDA or ROCm library", torch->without.data);
    if (torch->looked.length && !torch->found)
        ncr_text_add(notes, "; no torch in %s", torch->looked.data);
}

/** Offer torch's NCCLs in the order of docs/selection.md. */
bool ncr_torch(struct ncr_search *search) {
    struct torch torch = {.search = search};
    const char *named = search->config->torch;
    bool stop = offer_mapped(&torch) || (named ? offer_named(&torch, named) : offer_found(&torch));
    if (!stop)
        explain_absence(&torch);
    ncr_text_free(&torch.without);
    ncr_text_free(&torch.looked);
    return stop;
}
