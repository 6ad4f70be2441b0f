/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New communicators whose handle is not known when the creating call returns. In a group NCCL writes it when the group ends;
 * of a non-blocking communicator some time later, by a thread of its own, and ncclCommSplit has then returned ncclSuccess
 * (v2.18.6:init.cc:1985). Such a communicator is being made, not failed: its row waits for the first call that has a handle
 * nobody knows.
 *
 * Which row that is, the program's variable says, while it holds the handle: until the program has seen it there, which is
 * then free to use the variable for something else or to give its memory back. So it is looked at before the program
 * learns that the handle has come (ncclCommGetAsyncError), before another creation, and last at that first call; and it is
 * read by the kernel, which fails where there is no memory. If all that does not tell, a handle belongs to the only row
 * that waits for one. It is asked for its size and rank only when the program itself calls with it: what a variable holds
 * need not be a handle.
 */
#include "recorder.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* For each row of a communicator. Under the recorder's mutex. */
static struct {
    ncr_comm *where;  /* the program's variable; NULL: not pending */
    uint32_t grouped; /* a thread's index + 1, while its group is open that the handle is made in */
} pending[TRACE_COMMS];
static _Atomic unsigned pending_count; /* also asked for without */

/* What the variable holds; NULL if it is gone. */
static ncr_comm read_variable(ncr_comm *where) {
    ncr_comm handle = NULL;
    struct iovec here = {&handle, sizeof handle}, there = {where, sizeof handle};
    int error = errno;
    if (syscall(SYS_process_vm_readv, (long)getpid(), &here, 1L, &there, 1L, 0L) != (long)sizeof handle)
        handle = NULL;
    errno = error;
    return handle;
}

static int ask(ncr_comm handle, unsigned row) {
    typedef int question(ncr_comm, int *);
    int answer = -1;
    question *function = NCR_FUNCTION(question, atomic_load(&ncr_slots[2 * row]));
    return function(handle, &answer) == NCR_SUCCESS ? answer : -1;
}

/*
 * What only the backend knows of a part of a communicator: its size and this rank. Of others the program has said it. One that
 * is not ready would complain.
 */
static void complete(struct trace_comm *comm, ncr_comm handle) {
    if ((comm->ranks >= 0 && comm->rank >= 0) || ask(handle, NCR_ROW_ncclCommGetAsyncError) != NCR_SUCCESS)
        return;
    if (comm->ranks < 0)
        comm->ranks = ask(handle, NCR_ROW_ncclCommCount);
    if (comm->rank < 0)
        comm->rank = ask(handle, NCR_ROW_ncclCommUserRank);
}

static void wait_for_handle(int row, ncr_comm *where, uint32_t grouped) {
    ncr_mutex_lock(&ncr_recorder.mutex);
    pending[row].where = where;
    pending[row].grouped = grouped;
    pending_count++;
    ncr_mutex_unlock(&ncr_recorder.mutex);
}

/* Is there a handle, or will there be one? */
static bool is_made(ncr_comm *where, int result) {
    return where && (result == NCR_SUCCESS || result == NCR_IN_PROGRESS);
}

/* The call that makes it has returned, or the group has ended. The variable is the program's, but NCCL has just had it. */
static void finish(int row, ncr_comm *where, int result) {
    struct trace_comm *comm = &ncr_recorder.comms[row];
    comm->leave = ncr_record_ticks();
    if (!is_made(where, result)) {
        comm->ended = comm->leave;
        comm->ending = TRACE_NEVER_MADE;
        return;
    }
    comm->library = (uint16_t)ncr_called_library()->index;
    ncr_record_note_library(comm->library);
    ncr_record_find_driver();
    if (result == NCR_SUCCESS && *where) {
        complete(comm, *where);
        ncr_record_bind_handle(row, *where);
        return;
    }
    comm->flags |= TRACE_NONBLOCKING;
    wait_for_handle(row, where, 0);
}

/** A creating call has returned: the handle is in *where, or will be. */
void ncr_record_expect(int row, ncr_comm *where, int result) {
    struct ncr_recording *here = &ncr_recording;
    bool grouped = here->row && here->row->depth > 0;
    if (row == TRACE_NO_COMM)
        return;
    if (!grouped || !is_made(where, result)) {
        finish(row, where, result);
        return;
    }
    wait_for_handle(row, where, here->index + 1);
    here->grouped++;
}

/** The outermost group of the thread has ended with that result. */
void ncr_record_settle(int result) {
    struct ncr_recording *here = &ncr_recording;
    for (int row = 0; row < TRACE_COMMS && here->grouped; row++) {
        ncr_mutex_lock(&ncr_recorder.mutex);
        bool own = pending[row].where && pending[row].grouped == here->index + 1;
        ncr_comm *where = pending[row].where;
        if (own) {
            pending[row].where = NULL;
            pending_count--;
            here->grouped--;
        }
        ncr_mutex_unlock(&ncr_recorder.mutex);
        if (own)
            finish(row, where, result);
    }
    here->grouped = 0;
}

/* Of rows that wait for a handle: what their variables hold now is noted. Under the mutex. */
static void look(void) {
    for (int row = 0; row < TRACE_COMMS && pending_count; row++)
        if (pending[row].where && !pending[row].grouped && !ncr_recorder.comms[row].handle)
            ncr_recorder.comms[row].handle = (uintptr_t)read_variable(pending[row].where);
}

/** Before the program may use a variable again. */
void ncr_record_look_at_pending(void) {
    ncr_mutex_lock(&ncr_recorder.mutex);
    look();
    ncr_mutex_unlock(&ncr_recorder.mutex);
}

/** Stands in the slot of ncclCommGetAsyncError, which is not recorded: programs ask it until something is over. */
int ncr_record_async_error(ncr_comm comm, int *state) {
    typedef int question(ncr_comm, int *);
    const void *before = ncr_call.program;
    ncr_call.program = __builtin_return_address(0);
    int result =
        NCR_FUNCTION(question, atomic_load(&ncr_record_below[2 * (size_t)NCR_ROW_ncclCommGetAsyncError]))(comm, state);
    ncr_call.program = before;
    if (pending_count)
        ncr_record_look_at_pending();
    return result;
}

/**
 * The row that waits for this handle, which a call has and no other row: it waits no longer. TRACE_NO_COMM if there is none,
 * or which one cannot be told. Under the mutex.
 */
int ncr_record_take_pending(uintptr_t handle) {
    int found = TRACE_NO_COMM, others = 0, other = TRACE_NO_COMM;
    look();
    for (int row = TRACE_COMMS; row-- > 0 && pending_count && found == TRACE_NO_COMM;) {
        if (!pending[row].where || pending[row].grouped)
            continue;
        if (ncr_recorder.comms[row].handle == handle)
            found = row;
        others++;
        other = row;
    }
    if (found == TRACE_NO_COMM && others == 1)
        found = other;
    if (found != TRACE_NO_COMM) {
        pending[found].where = NULL;
        pending_count--;
    }
    return found;
}

/** The program calls with it for the first time. */
void ncr_record_complete(int row, const void *handle) {
    complete(&ncr_recorder.comms[row], (ncr_comm)(uintptr_t)handle);
}

/** In a forked child: the rows were the parent's. Under the mutex. */
void ncr_record_forget_pending(void) {
    for (int row = 0; row < TRACE_COMMS && pending_count; row++)
        pending[row].where = NULL;
    pending_count = 0;
}
