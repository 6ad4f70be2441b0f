/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which threads are binding. No lock of ours is ever held while the dynamic loader is called, because every order of
 * such a lock and the loader's own has been seen to deadlock:
 *
 *   - ours first: a constructor of a library that another thread opens runs under the loader's lock, makes the first
 *     NCCL call and waits for ours, while the holder of ours waits for the loader's;
 *   - the loader's first (taken by way of an indirect function that dlsym resolves under it): a tool in LD_PRELOAD that
 *     holds a lock of its own around the real dlopen (module lists of profilers) has the opposite order, tool's then
 *     loader's, and binding calls that very dlopen;
 *   - and before glibc 2.36 fork holds the list of its handlers while these run, for which a constructor that calls
 *     pthread_atfork waits.
 *
 * So threads that bind at the same time may all search and open: opening the same file twice gives the same handle, and
 * one of them publishes (binding.c). This gate only makes that rare, and keeps a fork from copying a process in which
 * another thread is inside the loader. It is not a lock: a thread that waits here continues after a bounded time, since
 * the thread that it waits for may be waiting for it.
 */
#include "shim.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long to wait for another thread's binding: a cold one takes about 150 ms; and for a fork, which takes 1 ms. */
enum { PATIENCE_BINDING_MS = 300, PATIENCE_FORK_MS = 2000 };

static _Atomic unsigned binders; /* threads that are binding */
static _Atomic unsigned forkers; /* threads between the handlers of their fork */

static __thread unsigned binding_depth, fork_depth; /* of this thread */

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Sleep in the kernel, if the word has this value, until it is woken for. False: the time is over. */
static bool sleep_on(_Atomic unsigned *word, unsigned value, int64_t end) {
    int64_t left = end - now_ms();
    struct timespec time = {left / 1000, left % 1000 * 1000000};
    if (left > 0)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &time, NULL, 0);
    return left > 0;
}

/* Wait until the counter is 0, or the time is over. */
static void wait_for_zero(_Atomic unsigned *counter, int patience_ms) {
    int64_t end = now_ms() + patience_ms;
    for (unsigned value; (value = atomic_load(counter)) != 0 && sleep_on(counter, value, end);)
        ;
}

static void decrement(_Atomic unsigned *counter) {
    if (atomic_fetch_sub(counter, 1) == 1)
        syscall(SYS_futex, counter, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/** Is this thread binding? Then a constructor of the library that is being opened has called us. */
bool ncr_is_binding(void) {
    return binding_depth > 0;
}

/** Is any thread opening a library? Then one may be mapped and not yet in the list. */
bool ncr_somebody_binds(void) {
    return atomic_load(&binders) > 0;
}

/* ---- forks ---- */

static void before_fork(void) {
    if (binding_depth > 0 || fork_depth++ > 0)
        return; /* a constructor of the library that is being opened forks: the binding is this thread's, in both */
    int error = errno;
    atomic_fetch_add(&forkers, 1);
    wait_for_zero(&binders, PATIENCE_FORK_MS);
    errno = error;
}

static void after_fork_in_parent(void) {
    int error = errno;
    if (fork_depth > 0 && --fork_depth == 0)
        decrement(&forkers);
    errno = error;
}

/* The other threads are gone, and with them what they did. */
static void after_fork_in_child(void) {
    fork_depth = 0;
    atomic_store(&forkers, 0);
    atomic_store(&binders, binding_depth > 0);
}

/*
 * What glibc's pthread_atfork calls. Weak, because musl has no such function, and would end every program that inherits
 * a preload library with an undefined symbol.
 */
extern int __register_atfork(ncr_fork_handler *, ncr_fork_handler *, ncr_fork_handler *, void *library)
    __attribute__((weak));
extern __attribute__((visibility("hidden"))) void *__dso_handle;

static void at_fork(ncr_fork_handler *before, ncr_fork_handler *in_parent, ncr_fork_handler *in_child) {
    if (__register_atfork)
        __register_atfork(before, in_parent, in_child, __dso_handle);
}

/* Two threads may both do so: then the handlers run twice, and count. */
static void make_forks_wait(void) {
    static atomic_bool registered;
    if (!atomic_load(&registered)) {
        at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
        atomic_store(&registered, true);
    }
}

/**
 * pthread_atfork, once for this word, which begins as 0; after it every fork runs the handlers: those that had begun before
 * are over, as far as they are known (the first binding makes them so). Not while a lock is held that a handler takes (see
 * above).
 */
void ncr_at_fork(_Atomic unsigned *once, ncr_fork_handler *before, ncr_fork_handler *in_parent,
                 ncr_fork_handler *in_child) {
    const unsigned done = UINT_MAX;
    unsigned by = 0; /* the process one of whose threads is at it; in a child, that thread is gone */
    if (atomic_load(once) == done)
        return;
    if (atomic_compare_exchange_strong(once, &by, (unsigned)getpid())) {
        at_fork(before, in_parent, in_child);
        wait_for_zero(&forkers, PATIENCE_FORK_MS);
        atomic_store(once, done);
        syscall(SYS_futex, once, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    } else if (by == (unsigned)getpid()) {
        for (int64_t end = now_ms() + PATIENCE_FORK_MS; atomic_load(once) == by && sleep_on(once, by, end);)
            ;
    }
}

/* ---- binding ---- */

/*
 * A fork and a binding each say that they come before they look for the other: so one of them sees the other, and the
 * binding steps back.
 */
static void begin_binding(void) {
    int64_t end = now_ms() + PATIENCE_FORK_MS, left;
    for (;;) {
        atomic_fetch_add(&binders, 1);
        left = end - now_ms();
        if (atomic_load(&forkers) == 0 || left <= 0)
            return;
        decrement(&binders);
        wait_for_zero(&forkers, (int)left);
    }
}

/**
 * Before a binding, or another use of the loader's search: wait for those of other threads, but for a bounded time.
 * Must not be called by a thread that is binding. Cancellation is off until ncr_gate_leave(), since file system calls
 * are cancellation points.
 */
void ncr_gate_enter(struct ncr_gate *gate) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &gate->cancelable);
    make_forks_wait();
    wait_for_zero(&binders, PATIENCE_BINDING_MS);
    begin_binding();
    binding_depth++;
}

/** After it. */
void ncr_gate_leave(struct ncr_gate *gate) {
    binding_depth--;
    decrement(&binders);
    pthread_setcancelstate(gate->cancelable, &gate->cancelable);
}
