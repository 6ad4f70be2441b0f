/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen of an NCCL returns this shim, so that programs which look functions up by handle (ctypes, JAX, CuPy) are
 * redirected too, and no second NCCL gets mapped. Every other dlopen goes on to the real one by a jump (entry_*.S).
 * dlsym is left alone: interposing it has broken cuDNN, profilers and the import of torch in other projects.
 */
#include "layer.h"
#include "old_glibc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct ncr_dlopen_answer go_on(void) {
    return (struct ncr_dlopen_answer){NULL, NCR_ADDRESS(ncr_real_dlopen())};
}

/* NCCL's plugins have its name in theirs. */
static bool is_plugin(const char *base) {
    static const char *const kinds[] = {"net", "tuner", "profiler", "env", "rma", "gin"};
    const char *dash = strstr(base, "ccl-");
    for (size_t i = 0; dash && i < sizeof kinds / sizeof *kinds; i++)
        if (ncr_begins(dash + 4, kinds[i]))
            return true;
    return false;
}

/* By file name, or by SONAME if the file name is not decisive but has "nccl" or "rccl" in it. */
static bool is_nccl(const char *file) {
    const char *base = ncr_basename(file);
    if (ncr_is_nccl_name(base))
        return true;
    if (base == file || !strstr(base, "ccl") || is_plugin(base) || (!strstr(base, "nccl") && !strstr(base, "rccl")))
        return false;
    int error = errno;
    char *soname = ncr_elf_soname(file);
    bool yes = soname && ncr_is_nccl_name(soname);
    free(soname);
    errno = error;
    return yes;
}

/*
 * dlerror's message can only be set by a failing dlopen, and contains the name of the file: so the reason is put into
 * that name. Nobody must be able to create a file of that name, since dlopen executes what it opens: a relative name is
 * in the current folder, which may be writable for everybody, and any other folder may come to exist. In /proc/self
 * nobody can create anything, and the walk ends at its first component, whatever follows.
 */
static void *fail(const char *file, const char *why) {
    struct ncr_text name = {0}, text = {0};
    ncr_text_add(&text, "%s: %s", file, why);
    ncr_text_add(&name, "/proc/self/nccl-redirect: ");
    ncr_text_add_visible(&name, ncr_text_get(&text), text.length);
    void *handle = ncr_real_dlopen()(name.data ? name.data : "/proc/self/nccl-redirect: out of memory", RTLD_LAZY);
    ncr_text_free(&name);
    ncr_text_free(&text);
    return handle;
}

/* Does this call come from inside the backend, its constructors included? */
static bool is_from_backend(const void *caller) {
    return ncr_in_backend(caller) || ncr_is_binding();
}

/* By its path the backend gets what it opens; by the bare name the NCCL behind it. */
static struct ncr_dlopen_answer open_for_backend(const char *file, int mode, const void *caller) {
    ncr_note_wrapping();
    if (strchr(file, '/'))
        return go_on();
    struct ncr_text why = {0};
    char *behind = ncr_find_behind(file, caller, &why);
    void *handle = behind ? ncr_real_dlopen()(behind, mode) : fail(file, ncr_text_get(&why));
    if (!behind)
        ncr_log(NCR_ERROR, "%s", ncr_text_get(&why));
    free(behind);
    ncr_text_free(&why);
    return (struct ncr_dlopen_answer){handle, NULL};
}

/* This very library: its own handle, so that its own functions are found. */
static struct ncr_dlopen_answer open_library(const struct ncr_library *library, int mode) {
    void *handle = ncr_real_dlopen()(library->backend.path, (mode & (RTLD_LAZY | RTLD_NOW)) | RTLD_NOLOAD);
    return (struct ncr_dlopen_answer){handle, NULL};
}

/*
 * The handle that a dlopen of an NCCL returns: this shim's. If the backend has functions that the table lacks, and is
 * therefore in the global scope, the handle of that scope: names of the table are found here first, as tools that are
 * preloaded earlier expect, the others in the backend.
 */
static void *open_for_program(int mode) {
    if (ncr_backend()->handle && ncr_backend()->global)
        return ncr_real_dlopen()(NULL, mode & (RTLD_LAZY | RTLD_NOW));
    return ncr_open_self(mode);
}

/*
 * Another library is about to be opened. If it is linked with NCCL, that is constructed first (loader/upcoming.c). A
 * library that is found by a search, not by a path, is not checked; NCCL_REDIRECT_BIND=start is for that.
 */
static void bind_before(const char *file, int mode) {
    if (ncr_state() != NCR_UNBOUND || ncr_is_binding() || (mode & RTLD_NOLOAD) || !strchr(file, '/') ||
        ncr_config_bind() == NCR_BIND_FIRST_USE)
        return;
    int error = errno;
    if (ncr_upcoming_begin(file)) {
        ncr_bind(NULL);
        ncr_upcoming_end();
    }
    errno = error;
}

static bool opened_by_a_layer(const char *file, struct ncr_library **library) {
    for (const struct ncr_layer *const *layer = ncr_layers; *layer; layer++)
        if ((*layer)->open && (*layer)->open(file, library))
            return true;
    return false;
}

/**
 * Decide one dlopen, called from entry_*.S with the program's return address. An NCCL opened by the backend itself (one
 * that wraps another) is really opened. With RTLD_NOLOAD the question is whether an NCCL is loaded: asking does not
 * bind.
 */
struct ncr_dlopen_answer ncr_on_dlopen(const char *file, int mode, const void *caller) {
    if (!file)
        return go_on();
    if (!is_nccl(file)) {
        bind_before(file, mode);
        return go_on();
    }
    if (is_from_backend(caller))
        return open_for_backend(file, mode, caller);
    if ((mode & RTLD_NOLOAD) && ncr_state() != NCR_BOUND && !ncr_objects_need_nccl()) {
        dlerror(); /* "not loaded" is not an error, and an older error is not this call's */
        return (struct ncr_dlopen_answer){NULL, NULL};
    }
    struct ncr_library *library = NULL;
    ncr_bind(&(const struct ncr_request){file, caller});
    if (opened_by_a_layer(file, &library))
        return library ? open_library(library, mode)
                       : (struct ncr_dlopen_answer){fail(file, ncr_last_error(NULL)), NULL};
    if (ncr_state() == NCR_BOUND && !(mode & RTLD_NOLOAD))
        ncr_note_other_file(file);
    if (ncr_state() == NCR_BOUND || ncr_library_count() > 1)
        return (struct ncr_dlopen_answer){open_for_program(mode), NULL};
    return (struct ncr_dlopen_answer){fail(file, ncr_disabled(NULL)), NULL};
}
