/* The decision: the first candidate that is accepted and opens is the backend. */
#include "abi/function_pointer.h"
#include "loader.h"
#include "old_glibc.h"

#include <stdlib.h>
#include <string.h>

struct choosing {
    struct ncr_backend *backend;
    const struct ncr_config *config;
    ncr_dlopen *open;
    struct ncr_selection selection;
    struct ncr_text named_fault; /* why the file of config->system_variable was refused */
    dev_t device;                /* of the backend */
    ino_t inode;
};

static int ask_version(void *get_version) {
    typedef int get(int *);
    int code = 0;
    return get_version && NCR_FUNCTION(get, get_version)(&code) == 0 ? ncr_version_from_nccl(code) : 0;
}

/* What the loader has really opened: an auditor (LD_AUDIT) may have answered the search with another file. */
static void identify(struct ncr_backend *backend, const char *candidate) {
    void *get_version = dlsym(backend->handle, "ncclGetVersion");
    char *mapped = get_version ? ncr_object_path(get_version) : NULL;
    backend->path = mapped ? mapped : strdup(candidate);
    backend->build_id = get_version ? ncr_build_id_of(get_version) : NULL;
    backend->version = ask_version(get_version);
}

/*
 * Names that the table lacks can only be found if the backend is in the global scope. Never an RCCL: its copy of LLVM
 * clashes with others there; never torch's own library, whose other symbols are nobody's business; never a second
 * library.
 */
static bool opens_globally(const struct choosing *choosing, const struct ncr_candidate *candidate,
                           const struct ncr_verdict *verdict) {
    return verdict->unknown > 0 && !verdict->rccl && !choosing->config->additional && ncr_is_nccl_name(candidate->path);
}

static bool open_candidate(void *arg, const struct ncr_considered *one, struct ncr_text *reason) {
    struct choosing *choosing = arg;
    struct ncr_backend *backend = choosing->backend;
    const struct ncr_candidate *candidate = one->candidate;
    bool global = opens_globally(choosing, candidate, one->validation);
    void *handle = choosing->open(candidate->path, RTLD_NOW | (global ? RTLD_GLOBAL : RTLD_LOCAL));
    if (!handle) {
        const char *error = dlerror();
        ncr_text_add(reason, "cannot be opened (%s)", error ? error : "the loader does not say why");
        return false;
    }
    backend->handle = handle;
    identify(backend, candidate->path);
    backend->origin = strdup(candidate->origin);
    backend->method = candidate->method;
    backend->rccl = one->validation->rccl;
    backend->unknown = one->validation->unknown;
    backend->global = global;
    choosing->device = one->validation->device;
    choosing->inode = one->validation->inode;
    return true;
}

static void observe(void *arg, const struct ncr_considered *one) {
    struct choosing *choosing = arg;
    const struct ncr_candidate *candidate = one->candidate;
    bool named = candidate->origin == choosing->config->system_variable;
    const char *method = ncr_method_name(candidate->method);
    if (one->outcome == NCR_ABSENT)
        ncr_log(NCR_DEBUG, "not there: %s (%s, from %s)", candidate->path, method, candidate->origin);
    if (one->outcome == NCR_SEEN)
        ncr_log(NCR_DEBUG, "seen before: %s", candidate->path);
    if (one->outcome == NCR_SEEN && named && !one->validation->shim)
        ncr_text_add(&choosing->named_fault, "was tried before, by torch's method, and could not be used");
    if (one->outcome != NCR_REFUSED)
        return;
    ncr_log(NCR_INFO, "passed over: %s (%s, from %s) %s", candidate->path, method, candidate->origin,
            one->validation->refusal);
    /* vLLM users point that variable at this shim: then it is skipped, and that is no fault. */
    if (named && !one->validation->shim)
        ncr_text_add(&choosing->named_fault, "%s", one->validation->refusal);
}

/* Is the named file the backend by another way, or this shim? Then nothing that it asks for is missing. */
static bool system_path_is_met(const struct choosing *choosing) {
    struct ncr_verdict verdict;
    char *path = ncr_system_path(choosing->config);
    if (!path)
        return false;
    ncr_judge(path, choosing->config, &verdict);
    free(path);
    bool same = verdict.inode && verdict.inode == choosing->inode && verdict.device == choosing->device;
    bool met = same || verdict.shim;
    ncr_verdict_free(&verdict);
    return met;
}

/* The method that was asked for, or a torch that was named, has no NCCL that can be used: the reason stands in the line. */
static void report_method_unmet(const struct choosing *choosing, const char *version) {
    const struct ncr_config *config = choosing->config;
    const struct ncr_backend *backend = choosing->backend;
    bool program = config->choice == NCR_CHOOSE_PROGRAM;
    struct ncr_text reason = {0};
    ncr_selection_failure_of(&choosing->selection, program ? NCR_BY_PROGRAM : NCR_BY_TORCH, &reason);
    const char *why = reason.length ? reason.data : program ? "it asks for none" : "no torch was found";
    if (config->choice == NCR_CHOOSE_AUTO)
        ncr_log(NCR_WARN,
                "NCCL_REDIRECT_TORCH=%s is not used: it leads to no usable NCCL (%s). NCCL %s is active instead: %s",
                config->torch, why, version, backend->path);
    else
        ncr_log(NCR_WARN,
                "%s: %s cannot be used (%s); the system's NCCL %s is active instead: %s. %s"
                "NCCL_REDIRECT_FALLBACK=0 makes this an error",
                config->decided_by, program ? "the program's own NCCL" : "torch's NCCL", why, version, backend->path,
                program ? "" : "NCCL_REDIRECT_TORCH=<torch's folder> names it; ");
    ncr_text_free(&reason);
}

static bool is_method_unmet(const struct choosing *choosing) {
    const struct ncr_config *config = choosing->config;
    enum ncr_method method = choosing->backend->method;
    return (config->choice == NCR_CHOOSE_PROGRAM && method != NCR_BY_PROGRAM) ||
           (config->choice == NCR_CHOOSE_TORCH && method != NCR_BY_TORCH) ||
           (config->choice == NCR_CHOOSE_AUTO && config->torch && method != NCR_BY_TORCH);
}

/* What the user set and did not get, one line each. */
static void report_unmet(const struct choosing *choosing) {
    const struct ncr_config *config = choosing->config;
    const struct ncr_backend *backend = choosing->backend;
    char version[16];
    ncr_version_text(backend->version, version);
    if (is_method_unmet(choosing))
        report_method_unmet(choosing, version);
    if (choosing->named_fault.length)
        ncr_log(NCR_WARN, "%s is not used: \"%s\" %s. NCCL %s serves instead: %s", config->system_variable,
                config->system_path, choosing->named_fault.data, version, backend->path);
    else if (config->system_path && strcmp(backend->origin, config->system_variable) != 0 &&
             !system_path_is_met(choosing))
        ncr_log(NCR_WARN,
                "%s=%s is not used: %s decides, and NCCL %s (%s) serves. "
                "NCCL_REDIRECT=system would use it",
                config->system_variable, config->system_path, config->decided_by, version, backend->path);
}

/* Functions that the table lacks go from the program to the backend, where it is in the global scope. */
static void report_unknown_functions(const struct ncr_backend *backend, const char *version) {
    const char *kind = backend->rccl ? "RCCL" : "NCCL", *plural = backend->unknown > 1 ? "s" : "";
    if (backend->global)
        ncr_log(NCR_INFO,
                "%s %s (%s) has %u function%s that nccl-redirect " NCR_VERSION " does not know; calls of them go to it "
                "directly. A program that is linked with them at its start needs NCCL_REDIRECT_BIND=start",
                kind, version, backend->path, backend->unknown, plural);
    else
        ncr_log(NCR_WARN,
                "%s %s (%s) has %u function%s that nccl-redirect " NCR_VERSION " does not know; programs cannot call "
                "them. A newer nccl-redirect knows them; `make check-abi` prints what to add to this one",
                kind, version, backend->path, backend->unknown, plural);
}

/** Say which library is active from now on. */
void ncr_report_backend(const struct ncr_config *config, const struct ncr_backend *backend) {
    char version[16];
    ncr_version_text(backend->version, version);
    ncr_log(config->announce ? NCR_ANNOUNCE : NCR_INFO,
            "%s %s is active%s: %s (%s, from %s; decided by %s), build %.8s", backend->rccl ? "RCCL" : "NCCL", version,
            config->additional ? " too" : "", backend->path, ncr_method_name(backend->method), backend->origin,
            config->decided_by, backend->build_id ? backend->build_id : "unknown");
    if (backend->unknown)
        report_unknown_functions(backend, version);
    ncr_history_add(config, backend);
}

static void report_success(const struct choosing *choosing) {
    if (choosing->config->additional)
        return; /* it may be open already: who asked for it knows */
    report_unmet(choosing);
    ncr_report_backend(choosing->config, choosing->backend);
}

/*
 * What the user asked for by name is missed at once. Else a program may only ask whether there is an NCCL, and the error
 * waits for the first call.
 */
static void report_failure(struct choosing *choosing) {
    const struct ncr_config *config = choosing->config;
    struct ncr_text *why = &choosing->backend->why;
    ncr_selection_failure(&choosing->selection, why);
    choosing->backend->reported = config->choice != NCR_CHOOSE_AUTO && !config->additional;
    if (choosing->backend->reported)
        ncr_log(NCR_ERROR,
                "%s cannot be met, NCCL is disabled in this process: its functions return "
                "ncclSystemError. Tried: %s. "
                "NCCL_REDIRECT=auto would use the first NCCL that works",
                config->decided_by, ncr_text_get(why));
}

/* What the user wrote is wrong: said at once, also to a program that only asks whether there is an NCCL. */
static void report_problem(struct ncr_backend *backend, const struct ncr_config *config) {
    ncr_text_add(&backend->why, "%s", ncr_text_get(&config->problem));
    backend->reported = true;
    ncr_log(NCR_ERROR, "%s. NCCL is disabled in this process: its functions return ncclSystemError",
            ncr_text_get(&config->problem));
}

/**
 * Find, judge and open the backend, and report. On failure backend->handle is NULL and backend->why tells every path
 * that was tried and its reason. `open` is the dlopen to open it with, `request` what made the decision necessary
 * (or NULL).
 */
void ncr_choose(struct ncr_backend *backend, const struct ncr_config *config, bool rccl_first,
                const struct ncr_request *request, ncr_dlopen *open) {
    *backend = (struct ncr_backend){0};
    struct choosing choosing = {.backend = backend, .config = config, .open = open};
    choosing.selection = (struct ncr_selection){
        .search = {.config = config,
                   .rccl_first = rccl_first,
                   .requested = request ? request->file : NULL,
                   .caller = request ? request->caller : NULL},
        .open = open_candidate,
        .observe = observe,
        .arg = &choosing,
    };
    if (config->choice == NCR_CHOOSE_NOTHING)
        report_problem(backend, config);
    else if (ncr_select(&choosing.selection))
        report_success(&choosing);
    else
        report_failure(&choosing);
    ncr_selection_free(&choosing.selection);
    ncr_text_free(&choosing.named_fault);
}
