/* SPDX-License-Identifier: Apache-2.0 */
/* A lock whose waiters sleep: a futex, because pthread's mutex is not in libc before glibc 2.34. */
#include "shim.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/**
 * Nobody spins: a thread of real-time priority that did, on the processor of a holder of lower priority, would keep it
 * from ever leaving. Keeps errno. Not to be taken twice by one thread, and never held while the dynamic loader is
 * called (gate.c).
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
