/*
 * Binding: the one decision of this process, and the slots filled from one handle. Happens in the constructor, at the first
 * call or at the first dlopen of a NCCL, whichever comes first; threads that come meanwhile wait, a fork waits too, and
 * so the child finds a binding that is whole or not begun. A backend is never closed or exchanged: instantiated graphs hold it.
 */
#include "shim.h"
#include "old_glibc.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef NCR_FOR_RCCL
#define RCCL_FIRST true
#else
#define RCCL_FIRST false
#endif

/* Written under the lock; published by `state`, which is stored last. */
static struct ncr_config config;
static struct ncr_backend backend;
static uintptr_t backend_start, backend_end;
static void *targets[2 * NCR_ROWS]; /* the backend's address of each slot, NULL where it has none */
static _Atomic enum ncr_state state;

/* ---- the lock: 0 or the thread that binds. A futex, because pthread's mutex is not in libc before glibc 2.34. ---- */

static _Atomic int binder;

static int this_thread(void) {
    return (int)syscall(SYS_gettid);
}

/* False if this very thread is binding: a constructor of the library that is being opened came back to us. */
static bool lock(void) {
    int self = this_thread(), owner = 0;
    while (!atomic_compare_exchange_strong(&binder, &owner, self)) {
        if (owner == self)
            return false;
        syscall(SYS_futex, &binder, FUTEX_WAIT_PRIVATE, owner, NULL, NULL, 0);
        owner = 0;
    }
    return true;
}

static void unlock(void) {
    atomic_store(&binder, 0);
    syscall(SYS_futex, &binder, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

/* A fork from a constructor of the library that is being opened finds the lock its own, and must leave it so. */
static bool locked_for_fork;

static void before_fork(void) {
    locked_for_fork = lock();
}

static void after_fork_in_parent(void) {
    if (locked_for_fork)
        unlock();
}

static void after_fork_in_child(void) {
    atomic_store(&binder, locked_for_fork ? 0 : this_thread());
}

/* ---- the decision ---- */

static void read_environment(void) {
    ncr_config_read(&config);
    ncr_log_open(config.level, config.log_file);
    for (const char *line = ncr_text_get(&config.warnings); *line;) {
        int length = 0;
        while (line[length] != '\n')
            length++;
        ncr_log(NCR_WARN, "%.*s", length, line);
        line += length + 1;
    }
}

static void *address_of(unsigned slot) {
    const struct ncr_function *f = &ncr_functions[slot / 2];
    void *address = NULL;
    if (slot % 2 == 1 && f->twin) {
        char twin[64] = "p"; /* the longest name of the table has 36 characters (tests/test_table.c) */
        size_t i = 0;
        do
            twin[i + 1] = f->name[i];
        while (f->name[i++] && i < sizeof twin - 2);
        address = dlsym(backend.handle, twin);
    }
    if (!address && (slot % 2 == 0 || f->twin))
        address = dlsym(backend.handle, f->name);
    return address;
}

static bool find_range(void *arg, const struct ncr_object *object) {
    uintptr_t address = (uintptr_t)arg;
    if (address < object->start || address >= object->end)
        return false;
    backend_start = object->start;
    backend_end = object->end;
    return true;
}

/* A backend that is itself linked with libnccl.so.2 may lead a name back to this shim: that would be a loop. */
static bool is_ours(const void *address) {
    return (const char *)address >= ncr_trampolines_start && (const char *)address < ncr_unbound_end;
}

static void fill_slots(void) {
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++) {
        void *address = address_of(slot);
        targets[slot] = is_ours(address) ? NULL : address;
    }
    dlerror(); /* names that the backend lacks have left a message */
    ncr_objects(find_range, targets[0]);
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++)
        if (targets[slot] && ncr_functions[slot / 2].role == NCR_CALL)
            atomic_store_explicit(&ncr_slots[slot], targets[slot], memory_order_release);
}

static void decide(const char *requested) {
    static bool prepared; /* under the lock */
    if (!prepared) {
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        read_environment();
        prepared = true;
    }
    struct ncr_backend found;
    ncr_choose(&found, &config, RCCL_FIRST, requested, ncr_real_dlopen());
    if (!found.handle) {
        ncr_log(NCR_INFO, "no NCCL can be used in this process: %s", ncr_text_get(&found.why));
        if (!backend.why.length)
            backend.why = found.why;
        atomic_store(&state, NCR_DISABLED);
        return;
    }
    backend = found;
    fill_slots();
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
    if (lock()) {
        now = atomic_load(&state);
        if (now == NCR_UNBOUND || (now == NCR_DISABLED && config.choice == NCR_CHOOSE_AUTO && requested))
            decide(requested);
        unlock();
    }
    errno = error;
    return atomic_load(&state);
}

enum ncr_state ncr_state(void) {
    return atomic_load(&state);
}

/** The backend, or why there is none. Valid once ncr_state() is not NCR_UNBOUND. */
const struct ncr_backend *ncr_backend(void) {
    return &backend;
}

/** The backend's own address for a slot, or NULL. */
void *ncr_target(unsigned slot) {
    return ncr_state() == NCR_BOUND ? targets[slot] : NULL;
}

/** Is this address inside the backend's own code? */
bool ncr_in_backend(const void *address) {
    return ncr_state() == NCR_BOUND && (uintptr_t)address >= backend_start && (uintptr_t)address < backend_end;
}

/**
 * Called from entry_*.S for a slot without an address: bind, and return where the call goes, or NULL if the backend lacks the
 * function. Communicator-creating functions keep this way in until the first of them is called.
 */
void *ncr_first_use(unsigned slot) {
    int error = errno;
    void *target = ncr_bind(NULL) == NCR_BOUND ? targets[slot] : NULL;
    if (target && ncr_functions[slot / 2].role == NCR_CREATE) {
        ncr_look_for_second();
        atomic_store_explicit(&ncr_slots[slot], target, memory_order_release);
    }
    errno = error;
    return target;
}
