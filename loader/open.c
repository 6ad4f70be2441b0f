/* The decision: the first candidate that is accepted and opens is the backend. */
#include "loader.h"
#include "old_glibc.h"

#include <stdlib.h>
#include <string.h>

struct choosing {
    struct ncr_backend *backend;
    const struct ncr_config *config;
    ncr_dlopen *open;
    struct ncr_text absent;      /* candidates that do not exist */
    struct ncr_text named_fault; /* why the file of config->system_variable was refused */
    struct ncr_seen seen;
    dev_t device; /* of the backend */
    ino_t inode;
};

static bool is_system_path(const struct choosing *choosing, const struct ncr_candidate *candidate) {
    return candidate->origin == choosing->config->system_variable;
}

static void note_refusal(struct choosing *choosing, const struct ncr_candidate *candidate, const char *why) {
    struct ncr_text *text = &choosing->backend->why;
    ncr_text_add(text, "%s%s (%s, from %s) %s", text->length ? "; " : "", candidate->path,
                 ncr_method_name(candidate->method), candidate->origin, why);
    ncr_log(NCR_INFO, "passed over: %s (%s, from %s) %s", candidate->path, ncr_method_name(candidate->method),
            candidate->origin, why);
    if (is_system_path(choosing, candidate))
        ncr_text_add(&choosing->named_fault, "%s", why);
}

/* What the user named is always reported; a place that was merely searched, only together with the other empty ones. */
static void note_absence(struct choosing *choosing, const struct ncr_candidate *candidate) {
    if (candidate->method == NCR_BY_PATH || is_system_path(choosing, candidate)) {
        char *target = ncr_file_link(candidate->path);
        char *why = target ? ncr_path("is a link to %s, which does not exist", target) : strdup("does not exist");
        note_refusal(choosing, candidate, why ? why : "does not exist");
        free(why);
        free(target);
        return;
    }
    ncr_text_add(&choosing->absent, "%s%s", choosing->absent.length ? ", " : "", candidate->path);
    ncr_log(NCR_DEBUG, "not there: %s (%s, from %s)", candidate->path, ncr_method_name(candidate->method),
            candidate->origin);
}

static void note_refused_file(struct choosing *choosing, const struct ncr_candidate *candidate,
                              const struct ncr_verdict *verdict) {
    note_refusal(choosing, candidate, verdict->refusal);
    /* vLLM users point that variable at this shim: then it is skipped, and that is no fault. */
    if (verdict->shim)
        ncr_text_free(&choosing->named_fault);
}

static int ask_version(void *handle) {
    union {
        void *symbol;
        int (*function)(int *);
    } get = {dlsym(handle, "ncclGetVersion")};
    int code = 0;
    return get.symbol && get.function(&code) == 0 ? ncr_version_from_nccl(code) : 0;
}

/*
 * Names that the table lacks can only be found if the backend is in the global scope. Never a RCCL: its copy of LLVM
 * clashes with others there; never torch's own library, whose other symbols are nobody's business; never a second
 * library.
 */
static int open_mode(const struct choosing *choosing, const struct ncr_candidate *candidate,
                     const struct ncr_verdict *verdict) {
    bool global =
        verdict->unknown > 0 && !verdict->rccl && !choosing->config->additional && ncr_is_nccl_name(candidate->path);
    return RTLD_NOW | (global ? RTLD_GLOBAL : RTLD_LOCAL);
}

static bool open_candidate(struct choosing *choosing, const struct ncr_candidate *candidate,
                           const struct ncr_verdict *verdict) {
    struct ncr_backend *backend = choosing->backend;
    void *handle = choosing->open(candidate->path, open_mode(choosing, candidate, verdict));
    if (!handle) {
        const char *error = dlerror();
        struct ncr_text why = {0};
        ncr_text_add(&why, "cannot be opened (%s)", error ? error : "the loader does not say why");
        note_refusal(choosing, candidate, ncr_text_get(&why));
        ncr_text_free(&why);
        return false;
    }
    backend->handle = handle;
    backend->path = strdup(candidate->path);
    backend->origin = strdup(candidate->origin);
    backend->method = candidate->method;
    backend->rccl = verdict->rccl;
    backend->unknown = verdict->unknown;
    backend->version = ask_version(handle);
    choosing->device = verdict->device;
    choosing->inode = verdict->inode;
    return true;
}

static bool try_candidate(void *arg, const struct ncr_candidate *candidate) {
    struct choosing *choosing = arg;
    struct ncr_verdict verdict;
    bool opened = false;
    switch (ncr_consider(&choosing->seen, candidate, choosing->config, &verdict)) {
    case NCR_ABSENT:
        note_absence(choosing, candidate);
        break;
    case NCR_SEEN:
        ncr_log(NCR_DEBUG, "seen before: %s", candidate->path);
        if (is_system_path(choosing, candidate) && !verdict.shim)
            ncr_text_add(&choosing->named_fault, "was tried before, by torch's method, and could not be used");
        break;
    case NCR_REFUSED:
        note_refused_file(choosing, candidate, &verdict);
        break;
    case NCR_FIT:
        opened = open_candidate(choosing, candidate, &verdict);
        break;
    }
    ncr_verdict_free(&verdict);
    return opened;
}

/* Is the named file the backend by another way, or this shim? Then nothing that it asks for is missing. */
static bool system_path_is_met(const struct choosing *choosing) {
    const char *named = choosing->config->system_path;
    struct ncr_verdict verdict;
    char *path = strchr(named, '/') ? strdup(named) : ncr_ld_find(named);
    if (!path)
        return false;
    ncr_judge(path, choosing->config, &verdict);
    free(path);
    bool same = verdict.inode && verdict.inode == choosing->inode && verdict.device == choosing->device;
    bool met = same || verdict.shim;
    ncr_verdict_free(&verdict);
    return met;
}

/* What the user set and did not get, one line each. */
static void report_unmet(const struct choosing *choosing) {
    const struct ncr_config *config = choosing->config;
    const struct ncr_backend *backend = choosing->backend;
    bool torch = backend->method == NCR_BY_TORCH;
    char version[16];
    ncr_version_text(backend->version, version);
    if (config->choice == NCR_CHOOSE_TORCH && !torch)
        ncr_log(NCR_WARN,
                "%s, but no NCCL of torch can be used (NCCL_REDIRECT_LOG=info tells why); the "
                "system's serves instead: "
                "NCCL %s, %s. Set NCCL_REDIRECT_TORCH to torch's folder, or "
                "NCCL_REDIRECT_FALLBACK=0 to make this an error",
                config->decided_by, version, backend->path);
    else if (config->choice == NCR_CHOOSE_AUTO && config->torch && !torch)
        ncr_log(NCR_WARN,
                "NCCL_REDIRECT_TORCH=%s is not used: it leads to no usable NCCL "
                "(NCCL_REDIRECT_LOG=info tells why). NCCL %s "
                "serves instead: %s",
                config->torch, version, backend->path);
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

/** Say which library serves from now on. */
void ncr_report_backend(const struct ncr_config *config, const struct ncr_backend *backend) {
    char version[16];
    ncr_version_text(backend->version, version);
    ncr_log(config->announce ? NCR_ANNOUNCE : NCR_INFO, "%s %s serves this process%s: %s (%s, from %s; decided by %s)",
            backend->rccl ? "RCCL" : "NCCL", version, config->additional ? " too" : "", backend->path,
            ncr_method_name(backend->method), backend->origin, config->decided_by);
    if (backend->unknown)
        ncr_log(NCR_WARN,
                "%s %s (%s) has %u function%s that this nccl-redirect " NCR_VERSION
                " does not know. What is linked with them works if "
                "it is loaded after the backend (NCCL_REDIRECT_BIND=start); found by name in a "
                "library that was opened they are "
                "not. A newer nccl-redirect knows them; `make check-abi` prints what to add to "
                "this one",
                backend->rccl ? "RCCL" : "NCCL", version, backend->path, backend->unknown,
                backend->unknown > 1 ? "s" : "");
}

static void report_success(const struct choosing *choosing) {
    if (choosing->config->additional)
        return; /* it may be open already: who asked for it knows */
    report_unmet(choosing);
    ncr_report_backend(choosing->config, choosing->backend);
}

/*
 * What the user asked for by name is missed at once. Else a program may only ask whether there is a NCCL, and the error
 * waits for the first call.
 */
static void report_failure(struct choosing *choosing, const struct ncr_search *search) {
    const struct ncr_config *config = choosing->config;
    struct ncr_text *why = &choosing->backend->why;
    if (search->notes.length)
        ncr_text_add(why, "%s", ncr_text_get(&search->notes) + (why->length ? 0 : 2));
    if (choosing->absent.length)
        ncr_text_add(why, "%snot there: %s", why->length ? "; " : "", choosing->absent.data);
    choosing->backend->reported = config->choice != NCR_CHOOSE_AUTO && !config->additional;
    if (choosing->backend->reported)
        ncr_log(NCR_ERROR,
                "%s cannot be met, NCCL is disabled in this process: its functions return "
                "ncclSystemError. Tried: %s. "
                "NCCL_REDIRECT=auto would use the first NCCL that works",
                config->decided_by, ncr_text_get(why));
}

/* What the user wrote is wrong: said at once, also to a program that only asks whether there is a NCCL. */
static void report_problem(struct ncr_backend *backend, const struct ncr_config *config) {
    ncr_text_add(&backend->why, "%s", ncr_text_get(&config->problem));
    backend->reported = true;
    ncr_log(NCR_ERROR, "%s. NCCL is disabled in this process: its functions return ncclSystemError",
            ncr_text_get(&config->problem));
}

/**
 * Find, judge and open the backend, and report. On failure backend->handle is NULL and backend->why tells every path
 * that was tried and its reason. `open` is the dlopen to open it with, `requested` the file that the program tried to
 * open.
 */
void ncr_choose(struct ncr_backend *backend, const struct ncr_config *config, bool rccl_first, const char *requested,
                ncr_dlopen *open) {
    *backend = (struct ncr_backend){0};
    struct choosing choosing = {.backend = backend, .config = config, .open = open};
    struct ncr_search search = {
        .config = config, .rccl_first = rccl_first, .requested = requested, .visit = try_candidate, .arg = &choosing};
    if (config->choice == NCR_CHOOSE_NOTHING)
        report_problem(backend, config);
    else if (ncr_candidates(&search))
        report_success(&choosing);
    else
        report_failure(&choosing, &search);
    ncr_text_free(&search.notes);
    ncr_text_free(&search.torch);
    ncr_text_free(&choosing.absent);
    ncr_text_free(&choosing.named_fault);
}
