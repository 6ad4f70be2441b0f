/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binding: the one decision of this process, and the slots filled from one handle. Happens in the constructor, at the
 * first call or at the first dlopen of an NCCL, whichever comes first. A backend is never closed or replaced, because
 * instantiated graphs refer to it.
 *
 * Several threads may decide at once, since nothing may be locked meanwhile (gate.c). Each prepares a whole decision;
 * one of them becomes the process's by a compare-and-swap of `decision`, and every thread that sees it finishes it.
 * Whatever a decision points to is written before the decision is published, and never changes.
 */
#include "layer.h"
#include "old_glibc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef NCR_FOR_RCCL
const bool ncr_for_rccl = true;
#else
const bool ncr_for_rccl = false;
#endif

struct decision {
    struct ncr_config *config;   /* the environment as it was at the first decision */
    struct ncr_library *library; /* NULL: NCCL is disabled */
    const char *disabled;        /* why, as a sentence; kept for ever: a program may hold the pointer */
    bool reported;               /* an error line has been written about it */
    bool passing;                /* it is disabled by a temporary failure: the next call decides again */
};

static struct ncr_config no_config; /* before the first decision, or without memory for it */
static struct decision no_memory = {
    &no_config, NULL, "NCCL is disabled by nccl-redirect: out of memory; the next call tries again", false, true};

static _Atomic(struct decision *) decision;
static _Atomic enum ncr_state state; /* stored when the decision's slots are filled; only ever grows */

/* ---- publishing ---- */

static void grow_state(enum ncr_state to) {
    enum ncr_state now = atomic_load(&state);
    while ((now == NCR_UNBOUND || (now == NCR_DISABLED && to == NCR_BOUND)) &&
           !atomic_compare_exchange_weak(&state, &now, to))
        ;
}

/* Any thread may do this, and one has to; if two do, they do the same. */
static void finish(const struct decision *made) {
    if (made->library)
        ncr_library_set_default(made->library);
    for (const struct ncr_layer *const *layer = ncr_layers; *layer; layer++)
        if ((*layer)->decided)
            (*layer)->decided();
    ncr_publish_slots();
    grow_state(made->library ? NCR_BOUND : NCR_DISABLED);
}

/*
 * A decision with an NCCL replaces one without, and a newer reason replaces an older one. Returns whether `made` is
 * published.
 */
static bool publish(struct decision *made) {
    struct decision *known = atomic_load(&decision);
    while (!known || (!known->library && (made->library || strcmp(made->disabled, known->disabled) != 0)))
        if (atomic_compare_exchange_weak(&decision, &known, made)) {
            finish(made);
            return true;
        }
    finish(known);
    return false;
}

/* ---- deciding ---- */

/* The file that this thread is opening, and its handle once it is. */
static __thread const char *opening;
static __thread void *opened;

/** dlopen for a library that is going to be a backend. In a binding (ncr_is_binding). */
void *ncr_open_backend(const char *file, int mode) {
    opened = NULL;
    opening = file;
    opened = ncr_real_dlopen()(file, mode);
    opening = NULL;
    if (opened)
        ncr_at_end_of(opened);
    return opened;
}

/** The file that this thread is opening as a backend, or NULL. */
const char *ncr_opening(void) {
    return opening;
}

static struct ncr_config *read_environment(void) {
    struct ncr_config *config = ncr_allocate(1, sizeof *config);
    if (!config)
        return NULL;
    ncr_config_read(config);
    if (ncr_lacking()) {
        ncr_config_free(config);
        free(config);
        return NULL;
    }
    ncr_log_open(config->level, config->log_file);
    ncr_config_report(config);
    return config;
}

static void set_disabled(struct decision *made, const struct ncr_backend *found) {
    struct ncr_text text = {0};
    ncr_text_add(&text, "NCCL is disabled by nccl-redirect: ");
    ncr_text_add_visible(&text, ncr_text_get(&found->why), found->why.length);
    made->disabled = found->why.length && text.length ? text.data : no_memory.disabled;
    made->reported = found->reported;
    made->passing = found->passing || made->disabled == no_memory.disabled;
}

/* A complete decision, which no other thread sees yet. NULL on lack of memory. */
static struct decision *decide(const struct ncr_request *request, struct decision *before) {
    ncr_passing_begin();
    struct decision *made = ncr_allocate(1, sizeof *made);
    struct ncr_library *library = ncr_library_new();
    if (made && library)
        made->config = before && before != &no_memory ? before->config : read_environment();
    if (!made || !made->config) {
        free(library);
        free(made);
        return NULL;
    }
    struct ncr_backend found;
    ncr_choose(&found, made->config, ncr_for_rccl, request, ncr_open_backend);
    if (found.handle) {
        ncr_library_fill(library, &found);
        made->library = library;
    } else {
        free(library);
        set_disabled(made, &found);
    }
    ncr_text_free(&found.why);
    ncr_log(NCR_DEBUG, "%u file system calls to find it", ncr_file_calls());
    return made;
}

static const struct ncr_config *before_config(const struct decision *before) {
    return before ? before->config : NULL;
}

/* What another thread published first is the same: its handle, its path. */
static void discard(struct decision *made, const struct decision *before) {
    if (made->library)
        ncr_library_free(made->library);
    if (made->disabled != no_memory.disabled)
        free((char *)made->disabled);
    if (made->config != before_config(before)) {
        ncr_config_free(made->config);
        free(made->config);
    }
    free(made);
}

/*
 * Does the program name a file that the decision may not have considered? (A bare name is searched for where the
 * decision has looked.)
 */
static bool names_a_file(const struct ncr_request *request) {
    return request && request->file && strchr(request->file, '/');
}

/* Has this been decided? If nothing could be opened, a file that the program names is tried again. */
static bool is_decided(const struct ncr_request *request) {
    const struct decision *made = atomic_load_explicit(&decision, memory_order_acquire);
    enum ncr_state now = ncr_state();
    if (now == NCR_DISABLED && made && made->passing)
        return false;
    return now == NCR_BOUND ||
           (now == NCR_DISABLED && (!names_a_file(request) || ncr_settings()->choice != NCR_CHOOSE_AUTO));
}

/*
 * Lines are written when no thread waits for this one any more, and only those of the thread whose decision was
 * published.
 */
static void bind_now(const struct ncr_request *request) {
    struct ncr_gate gate;
    bool ours = false;
    ncr_gate_enter(&gate);
    ncr_log_hold();
    if (!is_decided(request)) {
        struct decision *before = atomic_load(&decision), *made = decide(request, before);
        ours = publish(made ? made : &no_memory);
        if (made && !ours)
            discard(made, before);
    }
    ncr_gate_leave(&gate);
    ncr_log_release(ours);
}

/**
 * Bind if it has not been tried. `request` is the dlopen that asks for it, or NULL. Returns the state;
 * NCR_UNBOUND only to a call from inside the opening.
 */
enum ncr_state ncr_bind(const struct ncr_request *request) {
    if (!is_decided(request) && !ncr_is_binding()) {
        int error = errno;
        bind_now(request);
        errno = error;
    }
    return ncr_state();
}

static bool at_start; /* written by the constructor, before any other thread */

/** Bind, in the constructor. */
void ncr_bind_at_start(void) {
    at_start = ncr_bind(NULL) == NCR_BOUND;
}

/** Was the library opened by the constructor? */
bool ncr_bound_at_start(void) {
    return at_start;
}

/** Bind if it has not been tried: a question about an error does not repeat an attempt that failed temporarily. */
enum ncr_state ncr_state_to_ask(void) {
    return ncr_state() == NCR_UNBOUND ? ncr_bind(NULL) : ncr_state();
}

enum ncr_state ncr_state(void) {
    return atomic_load_explicit(&state, memory_order_acquire);
}

/* ---- what was decided ---- */

/** The environment as it was read at the decision. */
const struct ncr_config *ncr_settings(void) {
    const struct decision *made = atomic_load_explicit(&decision, memory_order_acquire);
    return made ? made->config : &no_config;
}

/** The backend. Valid once ncr_state() is not NCR_UNBOUND. */
const struct ncr_backend *ncr_backend(void) {
    return &ncr_library_at(0)->backend;
}

/** Is NCCL disabled by a temporary failure? */
bool ncr_disabled_for_now(void) {
    const struct decision *made = atomic_load_explicit(&decision, memory_order_acquire);
    return made && made->passing;
}

/**
 * Why there is no backend, as a sentence, and whether an error line was written about it. For ncr_state() NCR_DISABLED.
 */
const char *ncr_disabled(bool *reported) {
    const struct decision *made = atomic_load_explicit(&decision, memory_order_acquire);
    if (reported)
        *reported = made && made->reported;
    return made && made->disabled ? made->disabled : "";
}

/* ---- the first call ---- */

/* A constructor of the library that is being opened calls NCCL's functions: its own. */
static void *function_while_opening(unsigned slot) {
    void *handle = opened ? opened : opening ? ncr_real_dlopen()(opening, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    return handle ? ncr_library_function(handle, slot) : NULL;
}

/**
 * Called from entry_*.S for a slot without an address: bind, and return where the call goes, or NULL if the backend
 * lacks the function.
 */
void *ncr_first_use(unsigned slot) {
    int error = errno;
    void *target;
    if (ncr_is_binding())
        target = function_while_opening(slot);
    else {
        ncr_bind(NULL);
        target = ncr_slot_address(slot);
    }
    errno = error;
    return target;
}
