/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that the program is about to open and that is linked with NCCL. It must find NCCL constructed: what is
 * constructed first is destroyed last, so a framework's static objects can still destroy their communicators, as they
 * can where the dynamic loader brings NCCL in as a dependency. The decision then sees the process as it is going to be.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/* Of the thread that opens it; NULL paths: there is none. */
struct file {
    char *path;
    struct ncr_links links;
};
static __thread struct {
    struct file opened; /* where that is not the library that is linked with NCCL, but brings it in */
    struct file linked;
    const char *name; /* of the latter, as one links with it */
} upcoming;

/* Reads the file's dynamic section, about five system calls. */
static void read_file(struct file *file, const char *path) {
    struct ncr_elf elf;
    file->path = ncr_copy(path);
    ncr_elf_open(&elf, path);
    ncr_elf_links(&elf, &file->links);
    ncr_elf_close(&elf);
}

static void forget(struct file *file) {
    free(file->path);
    ncr_links_free(&file->links);
    file->path = NULL;
}

/*
 * torch/_C.cpython-312-x86_64-linux-gnu.so and the libraries in torch/lib bring in libtorch_cuda, some links away. Not
 * libtorch_global_deps.so: between that and the others torch's Python code opens its NCCL by the path, if it is a wheel's.
 */
static char *torch_library_beside(const char *path) {
    static const char *const libraries[] = {"libtorch_cuda.so", "libtorch_hip.so"};
    const char *base = ncr_basename(path);
    bool extension = ncr_begins(base, "_C.");
    bool library = ncr_begins(base, "libtorch") && strcmp(base, "libtorch_global_deps.so") != 0;
    char *folder = extension || library ? ncr_parent(path, 1) : NULL, *found = NULL;
    for (int i = 0; folder && i < 2 && !found; i++) {
        found = ncr_path("%s%s/%s", folder, extension ? "/lib" : "", libraries[i]);
        if (found && !ncr_file_exists(found)) {
            free(found);
            found = NULL;
        }
    }
    free(folder);
    return found;
}

/**
 * The program is about to open this file: if that brings in NCCL, the decisions of this thread see it as mapped until
 * ncr_upcoming_end(). Returns whether it does. Python's own extensions (lib-dynload) are not looked at.
 */
bool ncr_upcoming_begin(const char *path) {
    if (strstr(path, "/lib-dynload/"))
        return false;
    char *torch = torch_library_beside(path);
    read_file(&upcoming.linked, torch ? torch : path);
    if (torch && upcoming.linked.links.nccl && strcmp(torch, path) != 0)
        read_file(&upcoming.opened, path);
    free(torch);
    if (!upcoming.linked.links.nccl)
        ncr_upcoming_end();
    return upcoming.linked.path != NULL;
}

void ncr_upcoming_end(void) {
    forget(&upcoming.opened);
    forget(&upcoming.linked);
}

/** Visit it as if it was mapped, with what is opened and brings it in; false if there is none. */
bool ncr_upcoming_visit(ncr_object_visitor *visit, void *arg) {
    const struct file *opened = &upcoming.opened, *linked = &upcoming.linked;
    upcoming.name = linked->path ? ncr_basename(linked->path) : NULL;
    const struct ncr_object first = {.path = opened->path,
                                     .rpath = opened->links.rpath,
                                     .runpath = opened->links.runpath,
                                     .needed = &upcoming.name,
                                     .needed_count = 1};
    const struct ncr_object second = {.path = linked->path,
                                      .rpath = linked->links.rpath,
                                      .runpath = linked->links.runpath,
                                      .needs_nccl = linked->links.nccl};
    return (opened->path && visit(arg, &first)) || (linked->path && visit(arg, &second));
}
