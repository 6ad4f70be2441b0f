/*
 * A library that the program is about to open and that is linked with NCCL. It must find NCCL constructed: what is
 * constructed first is destroyed last, so a framework's static objects can still destroy their communicators, as they
 * can where the dynamic loader brings NCCL in as a dependency. The decision then sees the process as it is going to be.
 */
#include "loader.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

/* Of the thread that opens it; NULL path: there is none. */
static __thread struct { char *path, *soname, *runpath; } upcoming;

/* Reads the file's dynamic section, about eight system calls. Is it linked with NCCL? */
static bool read_file(const char *path) {
    struct ncr_elf elf;
    bool needs = false;
    ncr_elf_open(&elf, path);
    bool readable = ncr_elf_load_dynamic(&elf);
    for (unsigned i = 0; readable && !needs; i++) {
        char *name = ncr_elf_dynamic_name(&elf, DT_NEEDED, i);
        readable = name != NULL;
        needs = name && ncr_is_nccl_name(name);
        free(name);
    }
    if (needs) {
        upcoming.soname = ncr_elf_dynamic_name(&elf, DT_SONAME, 0);
        upcoming.runpath = ncr_elf_dynamic_name(&elf, DT_RUNPATH, 0);
        if (!upcoming.runpath)
            upcoming.runpath = ncr_elf_dynamic_name(&elf, DT_RPATH, 0);
    }
    ncr_elf_close(&elf);
    return needs;
}

/* torch/_C.cpython-312-x86_64-linux-gnu.so and the libraries in torch/lib bring in libtorch_cuda, some links away. */
static char *torch_library_beside(const char *path) {
    static const char *const libraries[] = {"libtorch_cuda.so", "libtorch_hip.so"};
    const char *base = ncr_basename(path);
    bool extension = strncmp(base, "_C.", 3) == 0, library = strncmp(base, "libtorch", 8) == 0;
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
    const char *linked = torch ? torch : path;
    if (read_file(linked))
        upcoming.path = strdup(linked);
    free(torch);
    if (!upcoming.path)
        ncr_upcoming_end();
    return upcoming.path != NULL;
}

void ncr_upcoming_end(void) {
    free(upcoming.path);
    free(upcoming.soname);
    free(upcoming.runpath);
    upcoming.path = upcoming.soname = upcoming.runpath = NULL;
}

/** Visit it as if it was mapped; false if there is none. */
bool ncr_upcoming_visit(ncr_object_visitor *visit, void *arg) {
    const struct ncr_object object = {
        .path = upcoming.path, .soname = upcoming.soname, .runpath = upcoming.runpath, .needs_nccl = true};
    return upcoming.path && visit(arg, &object);
}
