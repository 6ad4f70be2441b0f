/* SPDX-License-Identifier: Apache-2.0 */
/* Rings of slots between two ranks, and how a rank sleeps until something happens to one of its rings. */
#include "backend.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Each side writes its own counter and acquires the other's: whoever sees the counter sees the slot behind it. */
struct slot *pipe_begin_write(struct pipe *pipe) {
    uint64_t written = atomic_load_explicit(&pipe->written, memory_order_relaxed);
    uint64_t read = atomic_load_explicit(&pipe->read, memory_order_acquire);
    return written - read < SLOTS ? &pipe->slots[written % SLOTS] : NULL;
}

void pipe_end_write(struct pipe *pipe) {
    atomic_fetch_add_explicit(&pipe->written, 1, memory_order_release);
}

const struct slot *pipe_begin_read(struct pipe *pipe) {
    uint64_t read = atomic_load_explicit(&pipe->read, memory_order_relaxed);
    uint64_t written = atomic_load_explicit(&pipe->written, memory_order_acquire);
    return read < written ? &pipe->slots[read % SLOTS] : NULL;
}

void pipe_end_read(struct pipe *pipe) {
    atomic_fetch_add_explicit(&pipe->read, 1, memory_order_release);
}

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Not the private kind of futex: the word may be mapped by other processes. */
void futex_wait(_Atomic uint32_t *word, uint32_t value, double seconds) {
    struct timespec limit = {.tv_sec = (time_t)seconds};
    limit.tv_nsec = (long)((seconds - (double)limit.tv_sec) * 1e9);
    syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

void futex_wake_all(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/*
 * A sleeper sets `waiting` before the kernel compares the bell; a ringer moves the bell before it reads `waiting`. In
 * the one order of all these operations either the sleeper finds a moved bell or the ringer finds a sleeper.
 */
void bell_ring(struct member *member) {
    atomic_fetch_add(&member->bell, 1);
    if (atomic_load(&member->waiting))
        futex_wake_all(&member->bell);
}

void bell_wait(struct member *member, uint32_t seen, double seconds) {
    atomic_store(&member->waiting, 1);
    futex_wait(&member->bell, seen, seconds);
    atomic_store(&member->waiting, 0);
}
