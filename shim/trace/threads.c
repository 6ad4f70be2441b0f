/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread gets before its first record: a row of the table, and blocks of the ring. */
#include "recorder.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_over(uint32_t id) {
    return syscall(SYS_tgkill, ncr_recorder.header->pid, id, 0) != 0 && errno == ESRCH;
}

/* The row of a thread that has ended may be used again; what it was inside of is over. */
static struct trace_thread *used_row(uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        if (is_over(ncr_recorder.threads[i].id))
            return &ncr_recorder.threads[i];
    return NULL;
}

static struct trace_thread *new_row(void) {
    struct trace_header *header = ncr_recorder.header;
    if (header->thread_count < TRACE_THREADS)
        return &ncr_recorder.threads[header->thread_count++];
    return used_row(TRACE_THREADS);
}

/** A call without a record. */
void ncr_record_leave_out(void) {
    if (ncr_recorder.header)
        __atomic_fetch_add(&ncr_recorder.header->calls_left_out, 1, __ATOMIC_RELAXED);
}

static void take_row(struct ncr_recording *here) {
    ncr_mutex_lock(&ncr_recorder.mutex);
    struct trace_thread *row = ncr_recorder.header ? new_row() : NULL;
    if (row) {
        row->inside.sequence = 0;
        row->depth = 0;
        row->id = (uint32_t)syscall(SYS_gettid);
        here->row = row;
        here->index = (uint32_t)(row - ncr_recorder.threads);
    } else if (ncr_recorder.header) {
        ncr_recorder.header->threads_left_out++;
    }
    ncr_mutex_unlock(&ncr_recorder.mutex);
}

/**
 * Gives the calling thread a row of the file, and makes the file first if there is none. False if it gets none; it does
 * not ask again then. Keeps errno.
 */
bool ncr_record_attach(void) {
    struct ncr_recording *here = &ncr_recording;
    int error = errno;
    ncr_record_open();
    uint32_t generation = atomic_load(&ncr_recorder.generation);
    if (here->generation != generation) {
        *here = (struct ncr_recording){.generation = generation};
        take_row(here);
    }
    errno = error;
    return here->row != NULL;
}

/**
 * The next block of the ring for the calling thread; blocks of others are passed over. The one before is kept until the
 * next is full too: a thread that dies before its first record here has its newest ones there. False if there is none.
 */
bool ncr_record_take_block(void) {
    struct ncr_recording *here = &ncr_recording;
    uint32_t count = ncr_recorder.block_count;
    for (uint32_t tries = 0; tries < count; tries++) {
        uint32_t block = (uint32_t)(__atomic_fetch_add(&ncr_recorder.header->head, 1, __ATOMIC_RELAXED) & (count - 1)),
                 nobody = 0;
        if (!atomic_compare_exchange_strong(&ncr_recorder.blocks[block], &nobody, here->index + 1))
            continue;
        if (here->blocks[1])
            atomic_store_explicit(&ncr_recorder.blocks[here->blocks[1] - 1], 0, memory_order_release);
        here->blocks[1] = here->blocks[0];
        here->blocks[0] = block + 1;
        here->next = &ncr_recorder.ring[(size_t)block * TRACE_BLOCK];
        here->left = TRACE_BLOCK;
        ncr_record_note_time();
        return true;
    }
    return false;
}
