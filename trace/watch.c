/* SPDX-License-Identifier: Apache-2.0 */
/* Does a job move? The counters of its processes are read twice. */
#include "trace.h"

#include <time.h>

/** A number that changes whenever a call of the process begins or ends. */
uint64_t trace_progress_of(const struct trace_file *file) {
    uint64_t sum = file->header.calls_left_out;
    for (unsigned i = 0; i < file->thread_count; i++)
        sum = sum * 31 + file->threads[i].written * 2 + (file->threads[i].inside.sequence != 0);
    return sum;
}

/** Watches for so long; sets `moved` of each file, and reads the tables anew. Returns whether any has moved. */
bool trace_watch(struct trace_set *set, unsigned ms) {
    bool running = false, moved = false;
    for (unsigned i = 0; i < set->count; i++) {
        set->files[i]->progress = trace_progress_of(set->files[i]);
        running |= set->files[i]->life == TRACE_RUNNING;
    }
    if (!running)
        return false;
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
    for (unsigned i = 0; i < set->count; i++) {
        struct trace_file *file = set->files[i];
        if (file->life != TRACE_RUNNING || !trace_file_reread(file))
            continue;
        file->moved = trace_progress_of(file) != file->progress;
        moved |= file->moved;
    }
    return moved;
}
