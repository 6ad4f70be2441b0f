/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is reported of a decision: which NCCL is active, what the user asked for and did not get, why no NCCL can be
 * used.
 */
#include "choosing.h"

#include <stdlib.h>
#include <string.h>

/* Is the file the active NCCL by another name, or this preload library? Then whatever asks for it has it. */
static bool is_active(const struct ncr_choosing *choosing, const char *path) {
    struct ncr_validation validation;
    ncr_validate(path, choosing->config, &validation);
    bool same = validation.inode && validation.inode == choosing->inode && validation.device == choosing->device;
    bool active = same || validation.shim;
    ncr_validation_free(&validation);
    return active;
}

static bool system_path_is_met(struct ncr_choosing *choosing) {
    char *path = ncr_system_path(&choosing->selection.search);
    bool met = path && is_active(choosing, path);
    free(path);
    return met;
}

/* The method that was asked for, or a torch that was named, has no NCCL that can be used: the line gives the reason. */
static void report_method_unmet(const struct ncr_choosing *choosing, const char *version) {
    const struct ncr_config *config = choosing->config;
    const struct ncr_backend *backend = choosing->backend;
    bool program = config->choice == NCR_CHOOSE_PROGRAM;
    struct ncr_text reason = {0};
    ncr_selection_failure_of(&choosing->selection, program ? NCR_BY_PROGRAM : NCR_BY_TORCH, &reason);
    const char *why = reason.length ? reason.data : program ? "it uses none" : "no torch was found";
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

static bool is_method_unmet(const struct ncr_choosing *choosing) {
    const struct ncr_config *config = choosing->config;
    enum ncr_method method = choosing->backend->method;
    return (config->choice == NCR_CHOOSE_PROGRAM && method != NCR_BY_PROGRAM) ||
           (config->choice == NCR_CHOOSE_TORCH && method != NCR_BY_TORCH) ||
           (config->choice == NCR_CHOOSE_AUTO && config->torch && method != NCR_BY_TORCH);
}

/* What the user set and did not get, one line each. */
static void report_unmet(struct ncr_choosing *choosing) {
    const struct ncr_config *config = choosing->config;
    const struct ncr_backend *backend = choosing->backend;
    char version[16];
    ncr_version_text(backend->version, version);
    if (is_method_unmet(choosing))
        report_method_unmet(choosing, version);
    if (choosing->named_fault.length)
        ncr_log(NCR_WARN, "%s is not used: \"%s\" %s. NCCL %s is active instead: %s", config->system_variable,
                config->system_path, choosing->named_fault.data, version, backend->path);
    else if (config->system_path && strcmp(backend->origin, config->system_variable) != 0 &&
             !system_path_is_met(choosing))
        ncr_log(NCR_WARN,
                "%s=%s is not used: %s decides, and NCCL %s (%s) is active. "
                "NCCL_REDIRECT=system would use it",
                config->system_variable, config->system_path, config->decided_by, version, backend->path);
}

/*
 * By default a program never gets an NCCL that nobody named and that is not its own without a line that says so: where
 * its own cannot be used, or torch's takes precedence over the one that it is linked to. A range that the user set is
 * no surprise.
 */
static void report_not_own(struct ncr_choosing *choosing) {
    const struct ncr_config *config = choosing->config;
    const struct ncr_backend *backend = choosing->backend;
    struct ncr_text reason = {0};
    char version[16], *own = NULL;
    if (config->choice != NCR_CHOOSE_AUTO || config->torch || config->require_text)
        return;
    ncr_version_text(backend->version, version);
    if (backend->method == NCR_BY_TORCH)
        own = ncr_program_own(&choosing->selection.search);
    else if (backend->method == NCR_BY_SYSTEM)
        for (int method = NCR_BY_TORCH; method <= NCR_BY_PROGRAM; method += NCR_BY_PROGRAM - NCR_BY_TORCH)
            ncr_text_add(&reason, "%s%s", reason.length ? "; " : "",
                         ncr_text_get(&choosing->selection.refused_of[method]));
    if (own && !is_active(choosing, own))
        ncr_log(
            NCR_WARN,
            "the program is linked to %s, but torch's NCCL %s is active: %s (from %s). NCCL_REDIRECT=program uses the "
            "program's own, NCCL_REDIRECT=torch uses torch's without this warning",
            own, version, backend->path, backend->origin);
    else if (reason.length)
        ncr_log(NCR_WARN,
                "the NCCL that this program would use by itself cannot be used (%s); the system's NCCL %s is active "
                "instead: %s. NCCL_REDIRECT=system uses it without this warning",
                reason.data, version, backend->path);
    ncr_text_free(&reason);
    free(own);
}

/* Functions that the table lacks go from the program to the backend, where it is in the global scope. */
static void report_unknown_functions(const struct ncr_backend *backend, const char *version) {
    const char *kind = backend->rccl ? "RCCL" : "NCCL", *plural = backend->unknown > 1 ? "s" : "";
    if (backend->global)
        ncr_log(NCR_INFO,
                "%s %s (%s) has %u function%s that nccl-redirect " NCR_VERSION " does not know; calls to them go to it "
                "directly. A program that is linked with them needs NCCL_REDIRECT_BIND=start",
                kind, version, backend->path, backend->unknown, plural);
    else
        ncr_log(NCR_WARN,
                "%s %s (%s) has %u function%s that nccl-redirect " NCR_VERSION " does not know; programs cannot call "
                "them. Install a newer nccl-redirect, or add the rows that `make check-abi` prints",
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

/** An NCCL was opened: report what the user set and did not get, and which one it is. */
void ncr_report_success(struct ncr_choosing *choosing) {
    if (choosing->config->additional)
        return; /* it may be open already, and whoever asked for it knows */
    report_unmet(choosing);
    report_not_own(choosing);
    if (ncr_passing_noted() && choosing->config->choice != NCR_CHOOSE_PATH)
        ncr_log(
            NCR_WARN,
            "a file could not be read during the search (%s), so another NCCL may have been missed in favour of %s, which is "
            "active. NCCL_REDIRECT=%s selects it without a search",
            strerror(ncr_passing_noted()), choosing->backend->path, choosing->backend->path);
    ncr_report_backend(choosing->config, choosing->backend);
}

/**
 * No NCCL could be opened. If the user asked for one, that is reported at once; otherwise the program may only be
 * asking whether there is an NCCL, and the error is reported at the first call.
 */
void ncr_report_failure(struct ncr_choosing *choosing) {
    const struct ncr_config *config = choosing->config;
    struct ncr_text *why = &choosing->backend->why;
    ncr_selection_failure(&choosing->selection, why);
    choosing->backend->passing = ncr_passing_noted();
    if (choosing->backend->passing)
        ncr_text_add(why, "; the next call tries again");
    choosing->backend->reported = config->choice != NCR_CHOOSE_AUTO && !config->additional;
    if (choosing->backend->reported)
        ncr_log(NCR_ERROR,
                "cannot satisfy %s; NCCL is disabled in this process: its functions return ncclSystemError. Tried: %s. "
                "NCCL_REDIRECT=auto would use the first NCCL that works",
                config->decided_by, ncr_text_get(why));
}

/** Memory or descriptors ran out: whatever was opened or read meanwhile does not decide anything. */
void ncr_report_lack(struct ncr_choosing *choosing) {
    struct ncr_backend *backend = choosing->backend;
    const char *lack = ncr_lacking();
    free(backend->path);
    free(backend->build_id);
    free(backend->origin);
    *backend = (struct ncr_backend){.passing = true, .reported = true}; /* the library stays open */
    ncr_text_add(&backend->why, "%s; the next call tries again", lack);
    if (!choosing->config->additional)
        ncr_log(NCR_ERROR,
                "no NCCL can be selected: %s. NCCL calls return ncclSystemError, and each of them tries again", lack);
}

/** A value is invalid: reported at once, also to a program that only asks whether there is an NCCL. */
void ncr_report_problem(struct ncr_choosing *choosing) {
    const char *problem = ncr_text_get(&choosing->config->problem);
    ncr_text_add(&choosing->backend->why, "%s", problem);
    choosing->backend->reported = true;
    ncr_log(NCR_ERROR, "%s. NCCL is disabled in this process: its functions return ncclSystemError", problem);
}
