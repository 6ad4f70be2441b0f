/*
 * Binding: the one decision of this process, and the slots filled from one handle. Happens in the constructor, at the
 * first call or at the first dlopen of a NCCL, whichever comes first; threads that come meanwhile wait, a fork waits
 * too, and so the child finds a binding that is whole or not begun. A backend is never closed or exchanged:
 * instantiated graphs hold it.
 */
#include "shim.h"
#include "old_glibc.h"

#include <errno.h>

#ifdef NCR_FOR_RCCL
const bool ncr_for_rccl = true;
#else
const bool ncr_for_rccl = false;
#endif

/* Written once, under the lock; `config_read` is stored last. */
static struct ncr_config config;
static atomic_bool config_read;

static _Atomic enum ncr_state state;
/* Why there is none, as a sentence; of the newest attempt. Kept for ever: a program may hold the pointer. */
static _Atomic(const char *) disabled;
static atomic_bool disabled_is_reported; /* on the log, by the choice itself */

/* The file that is being opened, and its handle once it is. For the thread that binds. */
static const char *opening;
static void *opened;

static void read_environment(void) {
    ncr_config_read(&config);
    atomic_store(&config_read, true);
    ncr_log_open(config.level, config.log_file);
    ncr_config_report(&config);
}

static void publish(void) {
    if (ncr_rules_about_communicators())
        ncr_route_all(true);
    if (ncr_routing())
        return;
    ncr_slots_barrier();
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++)
        if (ncr_library_at(0)->entries[slot] && ncr_functions[slot / 2].route != NCR_WHY)
            atomic_store_explicit(&ncr_slots[slot], ncr_library_at(0)->entries[slot], memory_order_release);
}

static void *open_backend(const char *file, int mode) {
    opening = file;
    opened = ncr_real_dlopen()(file, mode);
    opening = NULL;
    return opened;
}

static void disable(const struct ncr_backend *found) {
    struct ncr_text text = {0};
    ncr_text_add(&text, "NCCL is disabled by nccl-redirect: %s", ncr_text_get(&found->why));
    atomic_store(&disabled, ncr_text_get(&text));
    if (atomic_load(&state) == NCR_UNBOUND)
        atomic_store(&disabled_is_reported, found->reported);
    atomic_store(&state, NCR_DISABLED);
}

static void decide(const char *requested) {
    static bool prepared; /* under the lock */
    if (!prepared) {
        read_environment();
        prepared = true;
    }
    struct ncr_backend found;
    ncr_choose(&found, &config, ncr_for_rccl, requested, open_backend);
    if (!found.handle) {
        disable(&found);
        if (ncr_rules_about_communicators())
            ncr_route_all(true);
        ncr_text_free(&found.why);
        return;
    }
    ncr_library_at(0)->backend = found;
    ncr_library_fill(ncr_library_at(0));
    publish();
    ncr_log(NCR_DEBUG, "%u file system calls to find it", ncr_file_calls());
    atomic_store(&state, NCR_BOUND);
}

/* Has this been decided? If nothing could be opened, a file that the program names gets a new try. */
static bool is_decided(enum ncr_state now, const char *requested) {
    return now == NCR_BOUND || (now == NCR_DISABLED && (!requested || config.choice != NCR_CHOOSE_AUTO));
}

static void bind_locked(const void *requested) {
    if (!is_decided(atomic_load(&state), requested))
        decide(requested);
}

/**
 * Bind if it has not been tried. `requested` is the file that the program tries to open, or NULL. Returns the state;
 * NCR_UNBOUND only to a call from inside the opening.
 */
enum ncr_state ncr_bind(const char *requested) {
    if (!is_decided(atomic_load(&state), requested) && !ncr_lock_is_mine()) {
        int error = errno;
        ncr_locked_run(bind_locked, requested);
        errno = error;
    }
    return atomic_load(&state);
}

enum ncr_state ncr_state(void) {
    return atomic_load(&state);
}

/** The environment as it was read at the decision. */
const struct ncr_config *ncr_settings(void) {
    atomic_load_explicit(&config_read, memory_order_acquire);
    return &config;
}

/** The backend. Valid once ncr_state() is not NCR_UNBOUND. */
const struct ncr_backend *ncr_backend(void) {
    return &ncr_library_at(0)->backend;
}

/** Why there is no backend, as a sentence. Valid once ncr_state() is NCR_DISABLED. */
const char *ncr_disabled(void) {
    return atomic_load(&disabled);
}

/** Has the choice reported on the log why there is none? */
bool ncr_disabled_is_reported(void) {
    return atomic_load(&disabled_is_reported);
}

/** Is this address inside the code or data of an opened library? */
bool ncr_in_backend(const void *address) {
    for (unsigned i = 0; i < ncr_library_count(); i++) {
        const struct ncr_library *library = ncr_library_at(i);
        if (ncr_library_is_open(library) && (uintptr_t)address >= library->start && (uintptr_t)address < library->end)
            return true;
    }
    return false;
}

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
    if (ncr_lock_is_mine())
        target = function_while_opening(slot);
    else if (ncr_bind(NULL) == NCR_BOUND || ncr_routing())
        target = ncr_routing() ? atomic_load(&ncr_slots[slot]) : ncr_library_at(0)->entries[slot];
    else
        target = NULL;
    errno = error;
    return target;
}
