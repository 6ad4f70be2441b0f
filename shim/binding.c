/*
 * Binding: the one decision of this process, and the slots filled from one handle. Happens in the constructor, at the first
 * call or at the first dlopen of a NCCL, whichever comes first; threads that come meanwhile wait, a fork waits too, and
 * so the child finds a binding that is whole or not begun. A backend is never closed or exchanged: instantiated graphs hold it.
 */
#include "shim.h"

#include <errno.h>

#ifdef NCR_FOR_RCCL
#define RCCL_FIRST true
#else
#define RCCL_FIRST false
#endif

/* Written under the lock; published by `state`, which is stored last. */
static struct ncr_config config;
static struct ncr_library library;
static _Atomic enum ncr_state state;

static void read_environment(void) {
    ncr_config_read(&config);
    ncr_log_open(config.level, config.log_file);
    ncr_config_report(&config);
}

static void publish(void) {
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++)
        if (library.entries[slot] && ncr_functions[slot / 2].route != NCR_WHY)
            atomic_store_explicit(&ncr_slots[slot], library.entries[slot], memory_order_release);
}

static void decide(const char *requested) {
    static bool prepared; /* under the lock */
    if (!prepared) {
        ncr_lock_for_forks();
        read_environment();
        prepared = true;
    }
    struct ncr_backend found;
    ncr_choose(&found, &config, RCCL_FIRST, requested, ncr_real_dlopen());
    if (!found.handle) {
        ncr_log(NCR_INFO, "no NCCL can be used in this process: %s", ncr_text_get(&found.why));
        if (!library.backend.why.length)
            library.backend.why = found.why;
        atomic_store(&state, NCR_DISABLED);
        return;
    }
    library.backend = found;
    ncr_library_fill(&library);
    publish();
    ncr_log(NCR_DEBUG, "%u file system calls to find it", ncr_file_calls());
    atomic_store(&state, NCR_BOUND);
}

/**
 * Bind if it has not been tried. `requested` is the file that the program tries to open, or NULL; if nothing could be
 * opened before, a new file gets a new try. Returns the state; NCR_UNBOUND only to a call from inside the opening.
 */
enum ncr_state ncr_bind(const char *requested) {
    enum ncr_state now = atomic_load(&state);
    if (now == NCR_BOUND || (now == NCR_DISABLED && !requested))
        return now;
    int error = errno;
    if (ncr_lock()) {
        now = atomic_load(&state);
        if (now == NCR_UNBOUND || (now == NCR_DISABLED && config.choice == NCR_CHOOSE_AUTO && requested))
            decide(requested);
        ncr_unlock();
    }
    errno = error;
    return atomic_load(&state);
}

enum ncr_state ncr_state(void) {
    return atomic_load(&state);
}

/** The environment as it was read at the decision. */
const struct ncr_config *ncr_settings(void) {
    return &config;
}

/** The library that made a communicator. */
struct ncr_library *ncr_library_of(const void *communicator) {
    (void)communicator;
    return &library;
}

/** The library that makes the next communicator or unique id, for a call from `caller`. */
struct ncr_library *ncr_library_to_create(const void *caller, const void *communicator_config) {
    (void)caller;
    (void)communicator_config;
    ncr_look_for_second();
    return &library;
}

/** The backend, or why there is none. Valid once ncr_state() is not NCR_UNBOUND. */
const struct ncr_backend *ncr_backend(void) {
    return &library.backend;
}

/** The backend's own address for a slot, or NULL. */
void *ncr_target(unsigned slot) {
    return ncr_state() == NCR_BOUND ? library.targets[slot] : NULL;
}

/** Is this address inside the backend's own code? */
bool ncr_in_backend(const void *address) {
    return ncr_state() == NCR_BOUND && (uintptr_t)address >= library.start && (uintptr_t)address < library.end;
}

/**
 * Called from entry_*.S for a slot without an address: bind, and return where the call goes, or NULL if the backend lacks the
 * function.
 */
void *ncr_first_use(unsigned slot) {
    int error = errno;
    void *target = ncr_bind(NULL) == NCR_BOUND ? library.entries[slot] : NULL;
    errno = error;
    return target;
}
