/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that no backend can take: NCCL is disabled, or the library lacks the function. Each returns a value of its own
 * type (an error code, an empty struct, …), and ncclGetLastError tells why.
 */
#include "shim.h"

#include <errno.h>

static void describe_lacking(struct ncr_text *text, const struct ncr_backend *backend, const struct ncr_function *f) {
    char since[16], present[16];
    ncr_version_text(f->since, since);
    ncr_version_text(backend->version, present);
    if (f->rccl && !backend->rccl)
        ncr_text_add(text, "%s is an RCCL function; the active library is NCCL %s (%s)", f->name, present,
                     backend->path);
    else if (f->since > backend->version)
        ncr_text_add_needs(text, backend, f->name, "", f->since);
    else
        ncr_text_add(text, "%s is missing in NCCL %s (%s), although NCCL has had it since %s", f->name, present,
                     backend->path, since);
}

static const char *outcome(enum ncr_result result) {
    switch (result) {
    case NCR_NUMBER:
        return "The call returns -1";
    case NCR_TEAM:
        return "The call returns an empty team";
    case NCR_NONE:
        return "The call does nothing";
    case NCR_CODE:
    case NCR_TEXT:
        break;
    }
    return "The call returns ncclInvalidUsage";
}

/*
 * Refuse a function that the library lacks. Logged once per function. Only a function with a result code makes the open
 * group fail: NCCL's functions without one report no errors (v2.30.7:nccl_device/core.cc:22).
 */
static void refuse_row(const struct ncr_library *library, unsigned row) {
    static _Atomic(const char *) texts[NCR_ROWS]; /* of the default library, made once */
    const char *known = library->index == 0 ? atomic_load(&texts[row]) : NULL;
    struct ncr_text text = {0};
    if (ncr_functions[row].result == NCR_CODE)
        ncr_poison_group(library);
    if (!known) {
        describe_lacking(&text, &library->backend, &ncr_functions[row]);
        ncr_log_kind(NCR_WARN, ncr_functions[row].name, "%s. %s", ncr_text_get(&text),
                     outcome(ncr_functions[row].result));
        known = ncr_keep(&text);
        if (library->index == 0)
            atomic_store(&texts[row], known);
    }
    ncr_set_error(library, known);
}

/** Why NCCL is disabled; logged at the first call, and again if the reason changes. */
const char *ncr_tell_disabled(void) {
    static _Atomic(const char *) told;
    bool reported;
    const char *text = ncr_disabled(&reported);
    if (!*text)
        return "NCCL was called while it was being opened";
    if (!reported && atomic_exchange(&told, text) != text)
        ncr_log(NCR_ERROR, "%s. Its functions return ncclSystemError%s", text,
                ncr_disabled_for_now() ? ""
                                       : ". Set NCCL_REDIRECT to the absolute path of a libnccl.so.2, or install one");
    return text;
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

/** The answer to a call through a slot without a function. Called from entry_*.S. Keeps errno. */
struct ncr_answer ncr_answer(unsigned slot) {
    struct ncr_library *library = ncr_called_library();
    int error = errno;
    uint64_t code = NCR_SYSTEM_ERROR;
    /* If there is one now, another thread has opened the library since the slot was read. */
    if (ncr_state() != NCR_UNBOUND && library->backend.handle && !library->targets[slot]) {
        refuse_row(library, slot / 2);
        code = NCR_INVALID_USAGE;
    } else {
        bool disabled = ncr_state() == NCR_DISABLED;
        ncr_set_error(library, disabled ? ncr_tell_disabled() : "NCCL was called while it was being opened");
    }
    errno = error;
    return in_kind(ncr_functions[slot / 2].result, code);
}

/** The same for a function with a result code, called through C. */
int ncr_answer_lacking(const struct ncr_library *library, unsigned row) {
    if (library->backend.handle)
        return ncr_refuse_lacking(library, ncr_functions[row].name, "", ncr_functions[row].since);
    ncr_set_error(library, ncr_tell_disabled());
    return NCR_SYSTEM_ERROR;
}
