/*
 * Calls that no backend can take: NCCL is disabled, or the backend lacks the function. Each is answered in the kind of its
 * result, and ncclGetLastError tells why.
 */
#include "shim.h"

/* NCCL's result codes (nccl.h, the same in every version). */
enum { SYSTEM_ERROR = 2, INVALID_USAGE = 5 };

/* The rows of the table by name. */
enum {
#define XX(name, since, result, role) ROW_OF_##name,
#include "nccl_api.def"
};

/* The shim's newest error text, kept for ever: a program may hold the pointer. */
static _Atomic(const char *) own_error;
/* A hash of the backend's last error at that moment: if the backend's has changed since, it is the newer one. */
static _Atomic uint64_t backend_error_then;

/* A text per function that the backend lacks, made at its first call; two threads may make the same, one is lost. */
static _Atomic(const char *) lacking[NCR_ROWS];
static _Atomic(const char *) disabled;

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
    } get = {ncr_target(2 * ROW_OF_ncclGetLastError)};
    return get.symbol ? get.function(communicator) : NULL;
}

/** ncclGetLastError: the shim's text where it is the newest, else the backend's. Any thread, any time; never NULL. */
const char *ncr_last_error(const void *communicator) {
    ncr_bind(NULL);
    const char *own = atomic_load(&own_error), *theirs = backend_error(communicator);
    if (own && (!theirs || hash(theirs) == atomic_load(&backend_error_then)))
        return own;
    return theirs ? theirs : "";
}

static void describe_lacking(struct ncr_text *text, const struct ncr_function *f) {
    const struct ncr_backend *backend = ncr_backend();
    const char *kind = backend->rccl ? "RCCL" : "NCCL";
    char since[16], version[16];
    ncr_version_text(f->since, since);
    ncr_version_text(backend->version, version);
    if (f->rccl && !backend->rccl)
        ncr_text_add(text, "%s is a function of RCCL; the backend is NCCL %s (%s)", f->name, version, backend->path);
    else if (f->since > backend->version)
        ncr_text_add(text, "%s needs %s %s or newer; the backend is %s (%s)", f->name, kind, since, version,
                     backend->path);
    else
        ncr_text_add(text, "%s is missing in the backend %s, although %s has it since %s (%s)", f->name, version, kind,
                     since, backend->path);
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
    const char *known = atomic_load(&disabled);
    if (known)
        return known;
    struct ncr_text text = {0};
    ncr_text_add(&text, "NCCL is disabled by nccl-redirect: %s", ncr_text_get(&ncr_backend()->why));
    atomic_store(&disabled, text.data);
    if (!ncr_backend()->reported)
        ncr_log(NCR_ERROR,
                "no NCCL can be used, its functions return ncclSystemError. Tried: %s. Set NCCL_REDIRECT to the absolute "
                "path of a libnccl.so.2, or install one",
                ncr_text_get(&ncr_backend()->why));
    return ncr_text_get(&text);
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

/** The answer to a call through a slot that has no function behind it. Called from entry_*.S. Keeps errno. */
struct ncr_answer ncr_answer(unsigned slot) {
    unsigned row = slot / 2;
    uint64_t code = SYSTEM_ERROR;
    const char *text = "NCCL was called while it was being opened";
    if (ncr_state() == NCR_BOUND) {
        text = text_of_lacking(row);
        code = INVALID_USAGE;
    } else if (ncr_state() == NCR_DISABLED) {
        text = text_of_disabled();
    }
    atomic_store(&backend_error_then, hash(backend_error(NULL)));
    atomic_store(&own_error, text);
    return in_kind(ncr_functions[row].result, code);
}
