/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of the shim itself: a result code for the program, an error message for ncclGetLastError, and a group that
 * launches nothing. NCCL has one last error message per library, whichever thread failed; the shim has one too, and the
 * newer of the two is returned.
 */
#include "shim.h"

#include <string.h>

/* The shim's newest error, kept for ever (a program may hold the pointer), and the library that it is about. */
static _Atomic(const char *) own_error;
static _Atomic(const struct ncr_library *) own_library;
/* A hash of that library's last error at that moment: if it has changed since, it is the newer one. */
static _Atomic uint64_t library_error_then;

static uint64_t hash(const char *text) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; text && *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

static const char *library_error(const struct ncr_library *library, const void *communicator) {
    typedef const char *get(const void *);
    get *function = NCR_FUNCTION(get, library->targets[2 * NCR_ROW_ncclGetLastError]);
    return function ? function(communicator) : NULL;
}

/**
 * ncclGetLastError of one library: the shim's message if it is the newer one, else the library's. `communicator` may be
 * NULL. Any thread, any time; never NULL.
 */
const char *ncr_last_error_of(struct ncr_library *library, const void *communicator) {
    enum ncr_state state = ncr_state_to_ask();
    const char *own = atomic_load(&own_error),
               *theirs = state == NCR_UNBOUND ? NULL : library_error(library, communicator);
    bool about = atomic_load(&own_library) == library;
    if (own && (!theirs || (about && hash(theirs) == atomic_load(&library_error_then))))
        return own;
    if (!theirs && state == NCR_DISABLED)
        return ncr_tell_disabled();
    return theirs ? theirs : "";
}

/** The same for the library that this thread called last; the default library if there is only that. */
const char *ncr_last_error(const void *communicator) {
    ncr_state_to_ask();
    return ncr_last_error_of(ncr_called_library(), communicator);
}

/** `text` becomes the newest error, about `library`. It must never be freed. */
void ncr_set_error(const struct ncr_library *library, const char *text) {
    atomic_store(&library_error_then, hash(library_error(library, NULL)));
    atomic_store(&own_library, library);
    atomic_store(&own_error, text);
}

/*
 * Set the newest error. Owns `text`, whose control characters are escaped, since programs print what ncclGetLastError
 * returns.
 */
static void set_new_error(const struct ncr_library *library, struct ncr_text *text) {
    struct ncr_text visible = {0};
    const char *bytes = ncr_text_get(text);
    ncr_text_add_visible(&visible, bytes, strlen(bytes));
    ncr_text_free(text);
    ncr_set_error(library, ncr_keep(&visible));
}

/**
 * Make the group that is open in this thread, if there is one, launch nothing: after an error that the backend did not
 * see, it would launch the rest. Done by an invalid call, which NCCL records for the group and otherwise just rejects
 * (v2.28.9:include/group.h:89).
 */
void ncr_poison_group(const struct ncr_library *library) {
    ncr_call.group_refused = true;
    ncr_fn_ncclAllReduce *all_reduce = NCR_TARGET(library, ncclAllReduce);
    if (all_reduce)
        all_reduce(NULL, NULL, 0, 0, 0, NULL, NULL);
}

/** Fail a call with `code` and an error message for ncclGetLastError. Returns the code. Any thread. */
int ncr_fail(int code, const char *format, ...) {
    struct ncr_text text = {0};
    va_list list;
    va_start(list, format);
    ncr_text_add_list(&text, format, list);
    va_end(list);
    ncr_log_kind(NCR_WARN, format, "%s", ncr_text_get(&text));
    set_new_error(ncr_called_library(), &text);
    return code;
}

/**
 * Pass on an error that the library returned outside of the open group, and make the group launch nothing. Returns the
 * code.
 */
int ncr_fail_group(const struct ncr_library *library, int code) {
    struct ncr_text text = {0};
    const char *theirs = library_error(library, NULL);
    ncr_text_add(&text, "%s", theirs ? theirs : "");
    ncr_poison_group(library);
    set_new_error(library, &text);
    return code;
}

/** "FUNCTION HOW needs NCCL 2.23.4 or newer; the active one is …" */
void ncr_text_add_needs(struct ncr_text *text, const struct ncr_backend *backend, const char *function, const char *how,
                        int since) {
    char needed[16], present[16];
    ncr_version_text(since, needed);
    ncr_version_text(backend->version, present);
    ncr_text_add(text, "%s%s needs %s %s or newer; the active one is %s (%s)", function, how,
                 backend->rccl ? "RCCL" : "NCCL", needed, present, backend->path);
}

static int refuse(const struct ncr_library *library, const char *kind, struct ncr_text *text) {
    ncr_log_kind(NCR_WARN, kind, "%s. The call returns ncclInvalidUsage", ncr_text_get(text));
    ncr_poison_group(library);
    ncr_set_called_library(library);
    set_new_error(library, text);
    return NCR_INVALID_USAGE;
}

/** Refuse a call with ncclInvalidUsage and an error message; the open group, if there is one, launches nothing. */
int ncr_refuse(const struct ncr_library *library, const char *format, ...) {
    struct ncr_text text = {0};
    va_list list;
    va_start(list, format);
    ncr_text_add_list(&text, format, list);
    va_end(list);
    return refuse(library, format, &text);
}

/** The same for something that needs a newer NCCL: "FUNCTION HOW needs NCCL 2.23.4 or newer; the active one is …". */
int ncr_refuse_lacking(const struct ncr_library *library, const char *function, const char *how, int since) {
    struct ncr_text text = {0};
    ncr_text_add_needs(&text, &library->backend, function, how, since);
    return refuse(library, function, &text);
}

/** A wrong argument of a call that is answered here: ncclInvalidArgument, and as in NCCL the open group launches nothing. */
int ncr_invalid(const struct ncr_library *library, const char *text) {
    ncr_poison_group(library);
    return ncr_fail(NCR_INVALID_ARGUMENT, "%s", text);
}
