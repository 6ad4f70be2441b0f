/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which torch this process has, or is going to import, found without starting Python: in what is mapped already, beside
 * the NCCL that the program opens, where NCCL_REDIRECT_TORCH says, among the packages of the Python that runs or would
 * run, and as libtorch for C++. Which NCCL it has is found in torch_nccl.c.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

struct finding {
    struct ncr_search *search;
    bool found;              /* there was a torch, usable or not */
    bool stop;               /* the visitor wants no more */
    struct ncr_text without; /* folders of a torch that has no GPU library */
    struct ncr_text looked;  /* folders that hold no torch */
};

static bool exists(char *path) {
    bool found = path && ncr_file_exists(path);
    free(path);
    return found;
}

/* SITE of "SITE/torch/lib", or NULL. */
static char *package_folder(const char *libraries) {
    char *own = ncr_parent(libraries, 0), *package = own ? ncr_parent(own, 1) : NULL, *site = NULL;
    if (package && strcmp(ncr_basename(package), "torch") == 0 && strcmp(ncr_basename(own), "lib") == 0)
        site = ncr_parent(package, 1);
    free(package);
    free(own);
    return site;
}

/* Offer the NCCL of the torch whose libraries lie in `folder`, and which may be mapped. */
static void take_torch(struct finding *finding, const char *origin, const char *folder,
                       const struct ncr_object *mapped) {
    struct ncr_torch torch = {.folder = folder, .site = package_folder(folder), .origin = origin, .mapped = mapped};
    bool gpu;
    if (!finding->search->torch.length)
        ncr_text_add(&finding->search->torch, "%s", folder);
    finding->found = true;
    finding->stop = ncr_torch_nccl(finding->search, &torch, &gpu);
    if (!gpu)
        ncr_text_add(&finding->without, "%s%s", finding->without.length ? ", " : "", folder);
    free(torch.site);
}

static void offer_as_torchs(struct finding *finding, const char *origin, const char *path) {
    finding->stop = ncr_offer(finding->search, NCR_BY_TORCH, origin, path);
}

/* ---- what is mapped already ---- */

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

/* An NCCL of torch's wheel or of torch's own folder, which a preload has mapped before torch. */
static void take_mapped_nccl(struct finding *finding) {
    const struct ncr_search *search = finding->search;
    for (unsigned i = 0; i < search->object_count; i++) {
        char *folder = search->objects[i].is_nccl ? ncr_parent(search->objects[i].path, 1) : NULL;
        bool bundled = folder && (ends_with(folder, "/nvidia/nccl/lib") || ends_with(folder, "/torch/lib"));
        free(folder);
        if (bundled) {
            offer_as_torchs(finding, "the torch that is loaded", search->objects[i].path);
            return;
        }
    }
}

static void take_mapped(struct finding *finding) {
    static const char *const names[] = {"libtorch_cuda.so", "libtorch_hip.so"};
    for (int i = 0; i < 2 && !finding->found; i++) {
        const struct ncr_object *mapped = ncr_search_object(finding->search, names[i]);
        char *folder = mapped && *mapped->path == '/' ? ncr_parent(mapped->path, 1) : NULL;
        if (folder)
            take_torch(finding, "the torch that is loaded", folder, mapped);
        free(folder);
    }
    if (!finding->stop)
        take_mapped_nccl(finding);
}

/* ---- the file that the program opens ---- */

/* SITE of a path to an NCCL inside a package: of NVIDIA's wheels, ROCm's wheels, torch itself; else NULL. */
static char *site_of_nccl(const char *path) {
    static const struct {
        const char *package; /* the folders above lib, as far as they matter */
        bool prefix;         /* … begins so */
        unsigned levels;     /* from the file up to SITE */
    } layouts[] = {{"/nvidia/nccl", false, 4},
                   {"/nvidia/cu", true, 4},
                   {"/_rocm_sdk_", true, 3},
                   {"/torch", false, 3},
                   {"/nccl", false, 3}};
    char *folder = ncr_parent(path, 1), *package = folder && ends_with(folder, "/lib") ? ncr_parent(folder, 1) : NULL;
    char *site = NULL;
    for (size_t i = 0; package && !site && i < sizeof layouts / sizeof *layouts; i++) {
        char *above = ncr_parent(path, layouts[i].levels);
        const char *rest = above ? package + strlen(above) : "";
        if (layouts[i].prefix ? ncr_begins(rest, layouts[i].package) : strcmp(rest, layouts[i].package) == 0)
            site = above;
        else
            free(above);
    }
    free(package);
    free(folder);
    return site;
}

/** Is this the path of an NCCL inside a Python package? */
bool ncr_is_wheel_path(const char *path) {
    char *site = path && *path == '/' ? site_of_nccl(path) : NULL;
    bool yes = site;
    free(site);
    return yes;
}

static bool has_gpu_library(const char *site) {
    return exists(ncr_path("%s/torch/lib/libtorch_cuda.so", site)) ||
           exists(ncr_path("%s/torch/lib/libtorch_hip.so", site));
}

/*
 * torch's Python code opens its NCCL by the full path before it loads libtorch_cuda.so (2.15), or if that cannot find its
 * libraries (older ones). Known by the torch beside it, or by the first library of a torch that is being imported.
 */
static void take_requested(struct finding *finding) {
    struct ncr_search *search = finding->search;
    const struct ncr_object *importing = ncr_search_object(search, "libtorch_global_deps.so");
    char *site = search->requested && *search->requested == '/' ? site_of_nccl(search->requested) : NULL;
    char *folder = importing && *importing->path == '/' ? ncr_parent(importing->path, 1) : NULL;
    const char *origin = "the torch that is being imported";
    if (!folder && site && has_gpu_library(site)) {
        folder = ncr_path("%s/torch/lib", site);
        origin = "the torch beside the file that the program opens";
    }
    if (folder && site)
        offer_as_torchs(finding, origin, search->requested);
    if (folder && !finding->stop)
        take_torch(finding, origin, folder, NULL);
    free(folder);
    free(site);
}

/* ---- in folders ---- */

static void note_without(struct finding *finding, const char *folder) {
    ncr_text_add(&finding->looked, "%s%s", finding->looked.length ? ", " : "", folder);
}

/* Python passes over a folder called torch that is not a package, such as a source tree in PYTHONPATH. */
static bool visit_site(void *arg, const char *origin, const char *folder) {
    struct finding *finding = arg;
    char *libraries = exists(ncr_path("%s/torch/__init__.py", folder)) ? ncr_path("%s/torch/lib", folder) : NULL;
    if (libraries)
        take_torch(finding, origin, libraries, NULL);
    else
        note_without(finding, folder);
    free(libraries);
    return finding->found;
}

/* Every libtorch has a libtorch.so, whatever it computes on: one question for each folder. */
static bool visit_library_folder(void *arg, const char *origin, const char *folder) {
    struct finding *finding = arg;
    if (exists(ncr_path("%s/libtorch.so", folder)))
        take_torch(finding, origin, folder, NULL);
    return finding->found;
}

/* ---- as NCCL_REDIRECT_TORCH says ---- */

static bool visit_named_site(void *arg, const char *origin, const char *folder) {
    (void)origin;
    return visit_site(arg, "NCCL_REDIRECT_TORCH", folder);
}

/*
 * A package folder; torch's own folder, or that of a libtorch; the folder of its libraries; the root of an environment;
 * a package folder that holds the wheel of NCCL alone, where each wheel has a folder of its own.
 */
static void take_named(struct finding *finding, const char *named) {
    static const char origin[] = "NCCL_REDIRECT_TORCH";
    static const char *const inside[] = {"/torch/lib", "/lib", "", "/site-packages/torch/lib"};
    char *folder = ncr_parent(named, 0);
    for (int i = 0; folder && i < 4 && !finding->found; i++) {
        char *libraries = ncr_path("%s%s", folder, inside[i]);
        if (libraries &&
            (exists(ncr_path("%s/libtorch_cuda.so", libraries)) || exists(ncr_path("%s/libtorch_hip.so", libraries)) ||
             exists(ncr_path("%s/libtorch_cpu.so", libraries))))
            take_torch(finding, origin, libraries, NULL);
        free(libraries);
    }
    char *wheel = folder && !finding->found ? ncr_path("%s/nvidia/nccl/lib/libnccl.so.2", folder) : NULL;
    if (wheel && ncr_file_exists(wheel)) {
        finding->found = true;
        offer_as_torchs(finding, origin, wheel);
    } else if (folder && !finding->found) {
        ncr_environment_folders(folder, visit_named_site, finding);
    }
    if (!finding->found)
        ncr_text_add(&finding->looked, "%s", finding->looked.length ? "" : named);
    free(wheel);
    free(folder);
}

/* ---- libtorch for C++ ---- */

static bool visit_root(struct finding *finding, const char *variable, unsigned levels) {
    const char *value = ncr_environment(variable);
    char *root = value && *value == '/' ? ncr_parent(value, levels) : NULL;
    char *folder = root ? ncr_path("%s/lib", root) : NULL;
    bool found = folder && visit_library_folder(finding, variable, folder);
    free(folder);
    free(root);
    return found;
}

static bool visit_program_folder(void *arg, const char *origin, const char *folder) {
    struct finding *finding = arg;
    char *expanded = ncr_expand_tokens(folder, ncr_search_program(finding->search));
    if (expanded && *expanded == '/')
        visit_library_folder(finding, origin, expanded);
    free(expanded);
    return finding->found;
}

static void take_libtorch(struct finding *finding) {
    const struct ncr_object *program = finding->search->object_count ? finding->search->objects : NULL;
    if ((program && ncr_split_path(program->rpath, "the program's RPATH", visit_program_folder, finding)) ||
        (program && ncr_split_path(program->runpath, "the program's RUNPATH", visit_program_folder, finding)) ||
        ncr_split_absolute(ncr_environment("LD_LIBRARY_PATH"), "LD_LIBRARY_PATH", visit_library_folder, finding) ||
        visit_root(finding, "Torch_DIR", 3) /* TORCH/share/cmake/Torch */ || visit_root(finding, "LIBTORCH", 0))
        return;
    visit_root(finding, "CONDA_PREFIX", 0); /* conda's libtorch, which needs no Python */
}

/* ---- the order ---- */

/* The torch that Python would import; where there is none, the first libtorch. */
static void take_by_folders(struct finding *finding) {
    const char *named = finding->search->config->torch;
    if (named && *named != '/') {
        ncr_text_add(&finding->search->notes,
                     "; NCCL_REDIRECT_TORCH=\"%s\" is a relative path, which is another folder "
                     "in every folder: use an absolute path",
                     named);
    } else if (named) {
        take_named(finding, named);
    } else {
        ncr_python_folders(finding->search->subject, visit_site, finding);
        if (!finding->found)
            take_libtorch(finding);
    }
}

static void explain_absence(struct finding *finding) {
    struct ncr_text *notes = &finding->search->notes;
    if (finding->without.length)
        ncr_text_add(notes, "; the torch in %s has no CUDA or ROCm library", finding->without.data);
    if (finding->looked.length && !finding->found)
        ncr_text_add(notes, "; no torch in %s", finding->looked.data);
}

/** Offer torch's NCCL in the order of docs/selection.md. */
bool ncr_torch(struct ncr_search *search) {
    struct finding finding = {.search = search};
    take_mapped(&finding);
    if (!finding.stop && !finding.found)
        take_requested(&finding);
    if (!finding.stop && !finding.found)
        take_by_folders(&finding);
    /* No torch anywhere: one that comes after the wheel which is opened now gets that. auto calls it the program's. */
    if (!finding.stop && !finding.found && search->config->choice != NCR_CHOOSE_AUTO &&
        ncr_is_wheel_path(search->requested))
        offer_as_torchs(&finding, "the wheel that the program opens", search->requested);
    if (!finding.stop)
        explain_absence(&finding);
    ncr_text_free(&finding.without);
    ncr_text_free(&finding.looked);
    return finding.stop;
}
