/*
 * The binding lock: 0 or the thread that binds. A futex, because pthread's mutex is not in libc before glibc 2.34. A fork waits
 * for it, so that the child finds a binding that is whole or not begun.
 */
#include "shim.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int owner_thread;

static int this_thread(void) {
    return (int)syscall(SYS_gettid);
}

/** False if this very thread holds it: a constructor of the library that is being opened came back to us. */
bool ncr_lock(void) {
    int self = this_thread(), owner = 0;
    while (!atomic_compare_exchange_strong(&owner_thread, &owner, self)) {
        if (owner == self)
            return false;
        syscall(SYS_futex, &owner_thread, FUTEX_WAIT_PRIVATE, owner, NULL, NULL, 0);
        owner = 0;
    }
    return true;
}

void ncr_unlock(void) {
    atomic_store(&owner_thread, 0);
    syscall(SYS_futex, &owner_thread, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

/* A fork from a constructor of the library that is being opened finds the lock its own, and must leave it so. Written and read
 * by the thread that holds the lock. */
static bool locked_for_fork;

static void before_fork(void) {
    bool locked = ncr_lock();
    locked_for_fork = locked;
}

static void after_fork_in_parent(void) {
    if (locked_for_fork)
        ncr_unlock();
}

static void after_fork_in_child(void) {
    atomic_store(&owner_thread, locked_for_fork ? 0 : this_thread());
}

/** Make forks wait for the lock, once per process and before its first use. */
void ncr_lock_for_forks(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
