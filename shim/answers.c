/*
 * Calls that no backend can take: NCCL is disabled, or the backend lacks the function. Each is answered in the kind of its
 * result, and ncclGetLastError tells why.
 */
#include "shim.h"

#include <errno.h>
#include <string.h>

/* NCCL's result codes (nccl.h, the same in every version). */
enum { SYSTEM_ERROR = 2, INVALID_USAGE = 5 };

/* The shim's newest error text, kept for ever: a program may hold the pointer. */
static _Atomic(const char *) own_error;
/* A hash of the backend's last error at that moment: if the backend's has changed since, it is the newer one. */
static _Atomic uint64_t backend_error_then;

/* A text per function that the backend lacks, made at its first call; two threads may make the same, one is lost. */
static _Atomic(const char *) lacking[NCR_ROWS];

static uint64_t hash(const char *text) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; text && *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

static const char *backend_error(const void *communicator) {
    union {
        void *symbol;
        const char *(*function)(const void *);
    } get = {ncr_target(2 * NCR_ROW_ncclGetLastError)};
    return get.symbol ? get.function(communicator) : NULL;
}

static void add_needs(struct ncr_text *text, const struct ncr_backend *backend, const char *function, const char *how,
                      int since) {
    char needed[16], present[16];
    ncr_version_text(since, needed);
    ncr_version_text(backend->version, present);
    ncr_text_add(text, "%s%s needs %s %s or newer; the backend is %s (%s)", function, how,
                 backend->rccl ? "RCCL" : "NCCL", needed, present, backend->path);
}

static void describe_lacking(struct ncr_text *text, const struct ncr_function *f) {
    const struct ncr_backend *backend = ncr_backend();
    char since[16], present[16];
    ncr_version_text(f->since, since);
    ncr_version_text(backend->version, present);
    if (f->rccl && !backend->rccl)
        ncr_text_add(text, "%s is a function of RCCL; the backend is NCCL %s (%s)", f->name, present, backend->path);
    else if (f->since > backend->version)
        add_needs(text, backend, f->name, "", f->since);
    else
        ncr_text_add(text, "%s is missing in the backend %s (%s), although NCCL has it since %s", f->name, present,
                     backend->path, since);
}

static const char *text_of_lacking(unsigned row) {
    const char *known = atomic_load(&lacking[row]);
    if (known)
        return known;
    struct ncr_text text = {0};
    describe_lacking(&text, &ncr_functions[row]);
    atomic_store(&lacking[row], text.data);
    ncr_log(NCR_WARN, "%s. The call returns ncclInvalidUsage", ncr_text_get(&text));
    return ncr_text_get(&text);
}

static const char *text_of_disabled(void) {
    static atomic_flag told = ATOMIC_FLAG_INIT;
    const char *text = ncr_disabled();
    if (!ncr_backend()->reported && !atomic_flag_test_and_set(&told))
        ncr_log(NCR_ERROR,
                "%s. Its functions return ncclSystemError. Set NCCL_REDIRECT to the absolute path of a libnccl.so.2, or "
                "install one",
                text);
    return text;
}

/** ncclGetLastError: the shim's text where it is the newest, else the backend's. Any thread, any time; never NULL. */
const char *ncr_last_error(const void *communicator) {
    ncr_bind(NULL);
    const char *own = atomic_load(&own_error), *theirs = backend_error(communicator);
    if (own && (!theirs || hash(theirs) == atomic_load(&backend_error_then)))
        return own;
    if (!theirs && ncr_state() == NCR_DISABLED)
        return text_of_disabled();
    return theirs ? theirs : "";
}

static struct ncr_answer in_kind(enum ncr_result result, uint64_t code) {
    static const char in_words[] = "NCCL is disabled or lacks this function; ncclGetLastError tells more";
    switch (result) {
    case NCR_CODE:
        return (struct ncr_answer){code, 0};
    case NCR_TEXT:
        return (struct ncr_answer){(uintptr_t)in_words, 0};
    case NCR_NUMBER:
        return (struct ncr_answer){(uint64_t)-1, 0};
    case NCR_NONE:
    case NCR_TEAM: /* three ints in two registers: {0, 0, 0}, which NCCL itself returns on failure */
        break;
    }
    return (struct ncr_answer){0, 0};
}

/** Let the group that is open in this thread, if there is one, launch nothing: after an error that the backend did not see it would
 * launch the rest. By an invalid call, which NCCL records for the group and otherwise only rejects (v2.28.9:include/group.h:89). */
void ncr_poison_group(const struct ncr_library *library) {
    union {
        void *symbol;
        int (*function)(const void *, void *, size_t, int, int, void *, void *);
    } all_reduce = {library->targets[2 * NCR_ROW_ncclAllReduce]};
    if (all_reduce.symbol)
        all_reduce.function(NULL, NULL, 0, 0, 0, NULL, NULL);
}

/* `text` becomes the newest error. It must live for ever. */
static void set_error(const char *text) {
    atomic_store(&backend_error_then, hash(backend_error(NULL)));
    atomic_store(&own_error, text);
}

/* The newest error, unless it is this one already: a program may run into the same one in a loop. Owns `text`. */
static void set_new_error(struct ncr_text *text) {
    const char *known = atomic_load(&own_error);
    if (known && strcmp(known, ncr_text_get(text)) == 0) {
        set_error(known);
        ncr_text_free(text);
        return;
    }
    set_error(ncr_text_get(text));
}

/** Fail a call with `code` and a text for ncclGetLastError. Returns the code. Any thread. */
int ncr_fail(int code, const char *format, ...) {
    struct ncr_text text = {0};
    va_list list;
    va_start(list, format);
    ncr_text_add_list(&text, format, list);
    va_end(list);
    ncr_log(NCR_WARN, "%s", ncr_text_get(&text));
    set_new_error(&text);
    return code;
}

/** Pass on an error that the backend gave outside of the open group, and let the group launch nothing. Returns the code. */
int ncr_fail_group(const struct ncr_library *library, int code) {
    struct ncr_text text = {0};
    const char *theirs = backend_error(NULL);
    ncr_text_add(&text, "%s", theirs ? theirs : "");
    ncr_poison_group(library);
    set_new_error(&text);
    return code;
}

static int refuse(const struct ncr_library *library, struct ncr_text *text) {
    ncr_log(NCR_WARN, "%s. The call returns ncclInvalidUsage", ncr_text_get(text));
    ncr_poison_group(library);
    set_new_error(text);
    return INVALID_USAGE;
}

/** Refuse a call with ncclInvalidUsage and a text; the open group, if there is one, launches nothing. */
int ncr_refuse(const struct ncr_library *library, const char *format, ...) {
    struct ncr_text text = {0};
    va_list list;
    va_start(list, format);
    ncr_text_add_list(&text, format, list);
    va_end(list);
    return refuse(library, &text);
}

/** The same for something that needs a newer NCCL: "FUNCTION HOW needs NCCL 2.23.4 or newer; the backend is …". */
int ncr_refuse_lacking(const struct ncr_library *library, const char *function, const char *how, int since) {
    struct ncr_text text = {0};
    add_needs(&text, &library->backend, function, how, since);
    return refuse(library, &text);
}

/** The answer to a call through a slot that has no function behind it. Called from entry_*.S. Keeps errno. */
struct ncr_answer ncr_answer(unsigned slot) {
    unsigned row = slot / 2;
    int error = errno;
    uint64_t code = SYSTEM_ERROR;
    const char *text = "NCCL was called while it was being opened";
    if (ncr_state() == NCR_BOUND) {
        ncr_poison_group(ncr_library_of(NULL));
        text = text_of_lacking(row);
        code = INVALID_USAGE;
    } else if (ncr_state() == NCR_DISABLED) {
        text = text_of_disabled();
    }
    set_error(text);
    errno = error;
    return in_kind(ncr_functions[row].result, code);
}
