/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that looks at pending handles, for programs that only watch their own variable: nothing else tells when
 * NCCL's thread has written. It lives from the call that makes a handle until none is pending, and only in processes
 * with a second library. Without it, where the system allows no more threads, the handles come with the next call of
 * ncclCommGetAsyncError or ncclGroupEnd.
 */
#include "owners.h"
#include "old_glibc.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { SHORTEST_US = 50, LONGEST_US = 1000 };

/* Under the lock of the owners. A forked child has the values, but not the thread. */
static bool watching;
static pid_t watching_process;

static bool stop_watching(void) {
    ncr_owners_lock();
    watching = ncr_is_pending_locked();
    bool stop = !watching;
    ncr_owners_unlock();
    return stop;
}

static void *watch(void *arg) {
    useconds_t pause = SHORTEST_US;
    while (!stop_watching()) {
        ncr_pending_look();
        usleep(pause);
        pause = 2 * pause < LONGEST_US ? 2 * pause : LONGEST_US;
    }
    return arg;
}

typedef int create_thread(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
typedef int detach_thread(pthread_t);

static _Atomic(create_thread *) create;
static _Atomic(detach_thread *) detach;

/**
 * Once, when routing begins, because a forked child may find the lock of dlsym held by a thread that it lacks.
 * pthread_create is in libpthread before glibc 2.34, which NCCL brings: the shim itself must load without it.
 */
void ncr_watch_prepare(void) {
    void *creating = dlsym(RTLD_DEFAULT, "pthread_create"), *detaching = dlsym(RTLD_DEFAULT, "pthread_detach");
    if (!creating || !detaching)
        dlerror();
    atomic_store(&create, NCR_FUNCTION(create_thread, creating));
    atomic_store(&detach, NCR_FUNCTION(detach_thread, detaching));
}

static bool start_thread(void) {
    create_thread *creating = atomic_load(&create);
    detach_thread *detaching = atomic_load(&detach);
    sigset_t all, before;
    pthread_t thread;
    if (!creating || !detaching)
        return false;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before); /* the program's signals are not for this thread */
    bool started = creating(&thread, NULL, watch, NULL) == 0 && detaching(thread) == 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return started;
}

/** A handle is expected: let a thread look for it. */
void ncr_watch_pending(void) {
    int error = errno;
    ncr_owners_lock();
    bool start = !watching || watching_process != getpid();
    watching = true;
    watching_process = getpid();
    ncr_owners_unlock();
    if (start && !start_thread()) {
        ncr_owners_lock();
        watching = false;
        ncr_owners_unlock();
    }
    errno = error;
}
