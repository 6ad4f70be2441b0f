/*
 * The binding lock. A thread that binds holds two: the dynamic loader's own, then ours. In this order, because a
 * constructor of a library that another thread opens runs under the loader's and may make the first call of NCCL:
 * whoever held only ours and waited for the loader would wait for ever. Ours is there for forks, which must not copy
 * half a binding.
 */
#include "shim.h"
#include "old_glibc.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- a lock whose waiters sleep: a futex, because pthread's mutex is not in libc before glibc 2.34 ---- */

/**
 * Nobody spins: a thread of real-time priority that did, on the processor of a holder of lower priority, would keep it
 * from ever leaving. Keeps errno. Not to be taken twice by one thread.
 */
void ncr_mutex_lock(struct ncr_mutex *mutex) {
    int error = errno, expected = 0;
    if (!atomic_compare_exchange_strong(&mutex->word, &expected, 1))
        while (atomic_exchange(&mutex->word, 2) != 0)
            syscall(SYS_futex, &mutex->word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    errno = error;
}

/** By the thread that has locked it; in a forked child, by the child of that thread. Keeps errno. */
void ncr_mutex_unlock(struct ncr_mutex *mutex) {
    int error = errno;
    if (atomic_exchange(&mutex->word, 0) == 2)
        syscall(SYS_futex, &mutex->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = error;
}

/* ---- our lock ---- */

static struct ncr_mutex binding;
static _Atomic pthread_t holder; /* 0 while nobody holds it; the same thread has the same value in a forked child */

/** Does this very thread bind? Then a constructor of the library that is being opened came back to us. */
bool ncr_lock_is_mine(void) {
    return atomic_load(&holder) == pthread_self();
}

static void lock(void) {
    ncr_mutex_lock(&binding);
    atomic_store(&holder, pthread_self());
}

static void unlock(void) {
    atomic_store(&holder, 0);
    ncr_mutex_unlock(&binding);
}

/* ---- forks: registered before the first use; two threads may both do so, then the handlers run twice ---- */

static unsigned fork_depth; /* handlers that hold the lock; of the thread that holds it */

static void before_fork(void) {
    if (!ncr_lock_is_mine()) {
        lock();
        fork_depth = 1;
    } else if (fork_depth > 0) {
        fork_depth++;
    } /* else a constructor of the library that is being opened forks: the lock stays its own, in both processes */
}

static void after_fork(void) {
    if (fork_depth > 0 && --fork_depth == 0)
        unlock();
}

/*
 * What glibc's pthread_atfork calls. Weak, because musl has no such function, and would end every program that inherits
 * a preload with a name that is missing.
 */
extern int __register_atfork(ncr_fork_handler *, ncr_fork_handler *, ncr_fork_handler *, void *library)
    __attribute__((weak));
extern __attribute__((visibility("hidden"))) void *__dso_handle;

/** pthread_atfork, with the same handler in parent and child. */
void ncr_at_fork(ncr_fork_handler *before, ncr_fork_handler *after) {
    if (__register_atfork)
        __register_atfork(before, after, after, __dso_handle);
}

static void make_forks_wait(void) {
    static atomic_bool registered;
    if (!atomic_load(&registered)) {
        ncr_at_fork(before_fork, after_fork);
        atomic_store(&registered, true);
    }
}

/* ---- the loader's lock: libc offers it to nobody, but dlsym resolves an indirect function while it holds it ---- */

struct work {
    ncr_locked *code;
    const void *arg;
};

static __thread struct work pending;

static void do_pending(void) {
    struct work work = pending;
    pending.code = NULL;
    if (!work.code)
        return;
    lock();
    work.code(work.arg);
    unlock();
}

typedef void plain_function(void);

static plain_function *resolve(void) {
    do_pending();
    return do_pending;
}

__attribute__((visibility("default"), ifunc("resolve"))) extern plain_function nccl_redirect_under_loader_lock;

/** Run code under both locks. Not for a thread that has them (ncr_lock_is_mine). */
void ncr_locked_run(ncr_locked *code, const void *arg) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before); /* file system calls are points of cancellation */
    make_forks_wait();
    pending = (struct work){code, arg};
    void *self = ncr_open_self(RTLD_LAZY);
    if (self)
        dlsym(self, "nccl_redirect_under_loader_lock");
    do_pending(); /* where the resolver was not run: without the loader's lock rather than not at all */
    pthread_setcancelstate(before, &before);
}
