/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl_redirect.h: ask which NCCL is active, and choose one per communicator. For C, C++ and, through the plain
 * functions below, ctypes.
 *
 * Nothing has to be linked: the functions are looked up at run time in the preload library, and a program also runs
 * without it (then present() and available() return 0, info() and use() return 5, ncclInvalidUsage). In Python:
 *
 *   lib = ctypes.CDLL(None)
 *   lib.nccl_redirect_use(b"system")        AttributeError without the preload library
 *
 * All functions may be called from any thread; each takes a lock only while it looks for a library. docs/choosing.md
 * describes what happens to communicators, groups and memory once two NCCLs are in use.
 */
#ifndef NCCL_REDIRECT_H
#define NCCL_REDIRECT_H

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An NCCL that is in use. Set `size` to sizeof(struct nccl_redirect_info) before the call: the preload library fills in
 * the fields that it knows and that fit, and sets further fields of a newer header to zero. Strings belong to the
 * preload library and stay valid as long as the process. (In C++ write `struct nccl_redirect_info`: a function has the
 * same name.)
 */
struct nccl_redirect_info {
    size_t size;
    int version;            /* as NCCL reports it: major * 10000 + minor * 100 + patch; 0 if NCCL is disabled */
    int backends;           /* how many NCCLs nccl-redirect has opened in this process */
    const char *kind;       /* "torch", "system", "program" (the file that it opened), "path", or "none" */
    const char *path;       /* of the library file, "" if NCCL is disabled */
    const char *build_id;   /* hexadecimal, "" if the file has none */
    const char *bound_when; /* "start", "first-use", "chosen" (by nccl_redirect_use or a rule), or "never" */
    const char *missing;    /* functions of NCCL's ABI that it lacks, separated by spaces (some are emulated) */
    const char *why;        /* if NCCL is disabled: every path that was tried, and the reason; else "" */
};

/*
 * Can this NCCL be used here? `backend` is "torch", "system", "program" or an absolute path. Opens nothing. Returns 1 or
 * 0; the path that would be opened, or the reason of a 0, goes to `reason` (at most `size` bytes with the NUL; may be
 * NULL).
 */
typedef int nccl_redirect_available_fn(const char *backend, char *reason, size_t size);

/*
 * Which NCCL this communicator (an ncclComm_t) uses, or, with NULL, which one the calling thread's next communicator
 * would use. Selects the process's default NCCL if that has not happened yet. Returns 0 (ncclSuccess) or 4
 * (ncclInvalidArgument: info is NULL, or `size` is not set).
 */
typedef int nccl_redirect_info_fn(const void *communicator, struct nccl_redirect_info *info);

/*
 * What the calling thread's next unique IDs, communicators and memory (ncclMemAlloc) use: "torch", "system", "program",
 * an absolute path, or NULL for the process's default. Existing communicators stay where they are, and so do those that
 * are split off them, shrunk or grown. A unique ID works only in the library that created it: choose before
 * ncclGetUniqueId, and the same on all ranks.
 *
 * Opens the library at its first use; there is no fallback. Returns 0 (ncclSuccess), 2 (ncclSystemError: it cannot be
 * opened), 4 (ncclInvalidArgument: no such choice) or 5 (ncclInvalidUsage: between ncclGroupStart and ncclGroupEnd; if
 * the group cannot be detected because no second library was open yet, its ncclGroupEnd fails instead). On an error,
 * ncclGetLastError tells why, and the choice is unchanged.
 */
typedef int nccl_redirect_use_fn(const char *backend);

#ifndef NCCL_REDIRECT_IMPLEMENTATION /* the library itself declares the functions instead */

static inline void *nccl_redirect_find_(const char *name) {
#ifdef RTLD_DEFAULT
    return dlsym(RTLD_DEFAULT, name);
#else
    return dlsym(NULL, name); /* the same; glibc names it for _GNU_SOURCE only */
#endif
}

/* memcpy instead of a cast: ISO C has none from an object to a function pointer. */
static inline int nccl_redirect_available(const char *backend, char *reason, size_t size) {
    void *found = nccl_redirect_find_("nccl_redirect_available");
    nccl_redirect_available_fn *function;
    memcpy(&function, &found, sizeof function);
    if (found)
        return function(backend, reason, size);
    if (reason && size > 0) {
        static const char text[] = "nccl-redirect is not loaded";
        size_t most = size < sizeof text ? size : sizeof text;
        memcpy(reason, text, most);
        reason[most - 1] = '\0';
    }
    return 0;
}

static inline int nccl_redirect_info(const void *communicator, struct nccl_redirect_info *info) {
    void *found = nccl_redirect_find_("nccl_redirect_info");
    nccl_redirect_info_fn *function;
    memcpy(&function, &found, sizeof function);
    return found ? function(communicator, info) : 5; /* ncclInvalidUsage */
}

static inline int nccl_redirect_use(const char *backend) {
    void *found = nccl_redirect_find_("nccl_redirect_use");
    nccl_redirect_use_fn *function;
    memcpy(&function, &found, sizeof function);
    return found ? function(backend) : 5; /* ncclInvalidUsage */
}

/* Does the program run with nccl-redirect's preload library? */
static inline int nccl_redirect_present(void) {
    return nccl_redirect_find_("nccl_redirect_use") != NULL;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
