/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators: a row in the file for each, and which row belongs to a handle. */
#include "recorder.h"

#include <string.h>

/* A handle that is gone leaves GONE behind, so that others behind it are still found. */
enum { ROOM = NCR_RECORD_HANDLES };
#define GONE ((uintptr_t)1)

struct ncr_record_handle ncr_record_handles[NCR_RECORD_HANDLES];

static int find(uintptr_t handle) {
    for (unsigned at = ncr_record_place(handle), tries = 0; tries < ROOM; tries++, at = (at + 1) % ROOM) {
        uintptr_t theirs = atomic_load_explicit(&ncr_record_handles[at].handle, memory_order_acquire);
        if (theirs == handle)
            return (int)at;
        if (!theirs)
            break;
    }
    return -1;
}

static void bind_handle(int row, uintptr_t handle) {
    int at = find(handle);
    for (unsigned place = ncr_record_place(handle), tries = 0; at < 0 && tries < ROOM;
         tries++, place = (place + 1) % ROOM)
        if (atomic_load(&ncr_record_handles[place].handle) <= GONE)
            at = (int)place;
    if (at < 0)
        return;
    ncr_record_handles[at].row = (uint16_t)row;
    ncr_recorder.comms[row].handle = handle;
    atomic_store_explicit(&ncr_record_handles[at].handle, handle, memory_order_release);
}

/** From now on calls with this handle are of that row. */
void ncr_record_bind_handle(int row, const void *handle) {
    if (!handle || row == TRACE_NO_COMM)
        return;
    ncr_mutex_lock(&ncr_recorder.mutex);
    bind_handle(row, (uintptr_t)handle);
    ncr_mutex_unlock(&ncr_recorder.mutex);
}

/** The handle ends: its address may be used again at once. Returns the row it had, TRACE_NO_COMM if none. */
int ncr_record_forget_handle(const void *handle) {
    ncr_mutex_lock(&ncr_recorder.mutex);
    int at = find((uintptr_t)handle), row = at < 0 ? TRACE_NO_COMM : ncr_record_handles[at].row;
    if (at >= 0)
        atomic_store(&ncr_record_handles[at].handle, GONE);
    ncr_mutex_unlock(&ncr_recorder.mutex);
    return row;
}

/** In a forked child: the rows were the parent's. Under the mutex. */
void ncr_record_forget_all(void) {
    for (unsigned i = 0; i < ROOM; i++)
        atomic_store_explicit(&ncr_record_handles[i].handle, 0, memory_order_relaxed);
    ncr_record_forget_pending();
}

/* ---- rows ---- */

/** Mixes bytes into a number that is never 0. */
uint64_t ncr_record_hash(uint64_t seed, const void *bytes, size_t size) {
    uint64_t hash = seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u; /* NOLINT: all callers' bytes are set */
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93u;
    hash ^= hash >> 32;
    return hash ? hash : 1;
}

/* A row for one more communicator: a free one, else that of the one that ended first. */
static int free_row(void) {
    struct trace_header *header = ncr_recorder.header;
    int oldest = -1;
    if (header->comm_count < TRACE_COMMS)
        return (int)header->comm_count++;
    for (int i = 0; i < TRACE_COMMS; i++) {
        const struct trace_comm *comm = &ncr_recorder.comms[i];
        if (comm->ending >= TRACE_DESTROYED && comm->ending != TRACE_REVOKED &&
            (oldest < 0 || comm->ended < ncr_recorder.comms[oldest].ended))
            oldest = i;
    }
    return oldest;
}

/** Adds a row with this content; TRACE_NO_COMM when the table is full of open communicators. */
int ncr_record_add_comm(const struct trace_comm *comm) {
    ncr_mutex_lock(&ncr_recorder.mutex);
    int row = free_row();
    if (row >= 0) {
        struct trace_comm *place = &ncr_recorder.comms[row];
        uint64_t identity = comm->identity;
        __atomic_store_n(&place->identity, 0, __ATOMIC_RELEASE);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        memcpy((char *)place + sizeof identity, (const char *)comm + sizeof identity, sizeof *comm - sizeof identity);
        __atomic_store_n(&place->identity, identity, __ATOMIC_RELEASE);
    } else {
        ncr_recorder.header->comms_left_out++;
    }
    ncr_mutex_unlock(&ncr_recorder.mutex);
    return row < 0 ? TRACE_NO_COMM : row;
}

/* A handle that was made before recording began, or by a call that we did not see: it has a row without an identity that
   other ranks share. */
static int add_unseen(uintptr_t handle) {
    const uint64_t own[] = {handle, (uint64_t)ncr_recorder.header->pid, ncr_recorder.header->opened.ticks};
    struct trace_comm comm = {.identity = ncr_record_hash(6, own, sizeof own),
                              .ranks = -1,
                              .rank = -1,
                              .device = -1,
                              .enter = ncr_record_ticks(),
                              .origin = TRACE_UNSEEN};
    comm.leave = comm.enter;
    int row = ncr_record_add_comm(&comm);
    if (row != TRACE_NO_COMM)
        ncr_record_bind_handle(row, (const void *)handle);
    return row;
}

/* A handle that no call has had so far. */
static int first_use(uintptr_t handle) {
    ncr_mutex_lock(&ncr_recorder.mutex);
    int at = find(handle), row = at < 0 ? ncr_record_take_pending(handle) : ncr_record_handles[at].row;
    if (at < 0 && row != TRACE_NO_COMM)
        bind_handle(row, handle);
    ncr_mutex_unlock(&ncr_recorder.mutex);
    if (row == TRACE_NO_COMM)
        return add_unseen(handle);
    ncr_record_complete(row, (const void *)handle);
    return row;
}

/** The row of a communicator whose handle is not where it is looked for first. */
int ncr_record_other_row(const void *handle) {
    int at = find((uintptr_t)handle);
    if (at >= 0)
        return ncr_record_handles[at].row;
    return (uintptr_t)handle <= GONE ? TRACE_NO_COMM : first_use((uintptr_t)handle);
}
