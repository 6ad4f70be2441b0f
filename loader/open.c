/* SPDX-License-Identifier: Apache-2.0 */
/* The decision: the first candidate that is accepted and opens is the backend. */
#include "abi/function_pointer.h"
#include "choosing.h"
#include "old_glibc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int ask_version(void *get_version) {
    typedef int get(int *);
    int code = 0;
    return get_version && NCR_FUNCTION(get, get_version)(&code) == 0 ? ncr_version_from_nccl(code) : 0;
}

/* What the loader has really opened: an auditor (LD_AUDIT) may have answered the search with another file. */
static void identify(struct ncr_backend *backend, const char *candidate) {
    void *get_version = dlsym(backend->handle, "ncclGetVersion");
    char *mapped = get_version ? ncr_object_path(get_version) : NULL;
    backend->path = mapped ? mapped : ncr_copy(candidate);
    backend->build_id = get_version ? ncr_build_id_of(get_version) : NULL;
    backend->version = ask_version(get_version);
}

/*
 * Names that the table lacks can only be found if the backend is in the global scope. Never an RCCL: its copy of LLVM
 * clashes with others there; never torch's own library, whose other symbols must not be visible; never a second
 * library.
 */
static bool opens_globally(const struct ncr_choosing *choosing, const struct ncr_candidate *candidate,
                           const struct ncr_validation *validation) {
    return validation->unknown > 0 && !validation->rccl && !choosing->config->additional &&
           ncr_is_nccl_name(candidate->path);
}

/* Could a library of this size be mapped? */
static bool has_room(off_t size) {
    void *room = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return false;
    munmap(room, (size_t)size);
    return true;
}

/*
 * Twice, since a failure may be over at once, and the message does not always tell: "failed to map segment from shared
 * object" means a file system mounted noexec as well as a lack of memory.
 */
static void *try_to_open(const struct ncr_choosing *choosing, const struct ncr_considered *one, int mode,
                         struct ncr_text *reason) {
    const char *error = NULL;
    for (int i = 0; i < 2 && !ncr_lacking(); i++) {
        void *handle = choosing->open(one->candidate->path, mode);
        if (handle)
            return handle;
        error = dlerror();
        ncr_passing_note_message(error);
    }
    if (!has_room(one->validation->size))
        ncr_memory_note();
    ncr_text_add(reason, "cannot be opened (%s)", error ? error : "the dynamic loader gives no reason");
    return NULL;
}

static bool open_candidate(void *arg, const struct ncr_considered *one, struct ncr_text *reason) {
    struct ncr_choosing *choosing = arg;
    struct ncr_backend *backend = choosing->backend;
    const struct ncr_candidate *candidate = one->candidate;
    bool global = opens_globally(choosing, candidate, one->validation);
    void *handle = try_to_open(choosing, one, RTLD_NOW | (global ? RTLD_GLOBAL : RTLD_LOCAL), reason);
    if (!handle)
        return false;
    backend->handle = handle;
    identify(backend, candidate->path);
    backend->origin = ncr_copy(candidate->origin);
    backend->method = candidate->method;
    backend->rccl = one->validation->rccl;
    backend->unknown = one->validation->unknown;
    backend->global = global;
    choosing->device = one->validation->device;
    choosing->inode = one->validation->inode;
    return true;
}

static void observe(void *arg, const struct ncr_considered *one) {
    struct ncr_choosing *choosing = arg;
    const struct ncr_candidate *candidate = one->candidate;
    bool named = candidate->origin == choosing->config->system_variable;
    const char *method = ncr_method_name(candidate->method);
    if (one->outcome == NCR_ABSENT)
        ncr_log(NCR_DEBUG, "not found: %s (%s, from %s)", candidate->path, method, candidate->origin);
    if (one->outcome == NCR_SEEN)
        ncr_log(NCR_DEBUG, "the same file as one before: %s", candidate->path);
    if (one->outcome == NCR_SEEN && named && !one->validation->shim)
        ncr_text_add(&choosing->named_fault, "was tried before, by torch's method, and could not be used");
    if (one->outcome != NCR_REFUSED)
        return;
    ncr_log(NCR_INFO, "passed over: %s (%s, from %s) %s", candidate->path, method, candidate->origin,
            one->validation->refusal);
    /* vLLM users point that variable at this shim: then it is skipped, which is not an error. */
    if (named && !one->validation->shim)
        ncr_text_add(&choosing->named_fault, "%s", one->validation->refusal);
}

/**
 * Find, validate and open the backend, and report. On failure backend->handle is NULL and backend->why tells every path
 * that was tried and its reason. `open` is the dlopen to open it with, `request` what made the decision necessary
 * (or NULL).
 */
void ncr_choose(struct ncr_backend *backend, const struct ncr_config *config, bool rccl_first,
                const struct ncr_request *request, ncr_dlopen *open) {
    *backend = (struct ncr_backend){0};
    struct ncr_choosing choosing = {.backend = backend, .config = config, .open = open};
    choosing.selection = (struct ncr_selection){
        .search = {.config = config,
                   .rccl_first = rccl_first,
                   .requested = request ? request->file : NULL,
                   .caller = request ? request->caller : NULL},
        .open = open_candidate,
        .observe = observe,
        .arg = &choosing,
    };
    bool opened = config->choice != NCR_CHOOSE_NOTHING && ncr_select(&choosing.selection);
    if (ncr_lacking())
        ncr_report_lack(&choosing);
    else if (config->choice == NCR_CHOOSE_NOTHING)
        ncr_report_problem(&choosing);
    else if (opened)
        ncr_report_success(&choosing);
    else
        ncr_report_failure(&choosing);
    ncr_selection_free(&choosing.selection);
    ncr_text_free(&choosing.named_fault);
}
