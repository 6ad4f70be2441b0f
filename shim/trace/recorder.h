/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder: a layer that writes each call of the program into the file of trace/format.h. Off, it stands in no slot.
 * On, a stub stands in the slot of each function of trace/calls.def, over whatever would stand there otherwise.
 *
 * The way of a call: stub (traced_*.S) → ncr_record_call() → which fills the thread's row, calls the function below,
 * and puts the record into the ring. No system call, no lock, no allocation on this way; those are for
 * the first call of a thread (threads.c), of a calling library (callers.c), and for communicators that come and go
 * (creation.c, pending.c, communicators.c).
 */
#ifndef NCR_RECORDER_H
#define NCR_RECORDER_H

#include "format.h"
#include "shim.h"

#include "abi/types.h"

/* ---- header.c: what the file says of the process ---- */

uint64_t ncr_record_nanoseconds(clockid_t clock);
void ncr_record_describe(struct trace_header *header);
void ncr_record_note_library(unsigned index);
void ncr_record_note_time(void);

/* ---- file.c: the file of this process ---- */

/* Written under `mutex`, when the file is made and in a forked child; the tables themselves as format.h says. */
struct ncr_recorder {
    _Atomic uint32_t generation; /* of the file: another one after a fork; 0 before the first */
    struct trace_header *header; /* NULL: no file */
    struct trace_comm *comms;
    struct trace_thread *threads;
    struct trace_total *totals;
    struct trace_peer *peers;
    struct trace_caller *callers;
    struct trace_library *libraries;
    _Atomic uint32_t *blocks;
    struct trace_record *ring;
    uint32_t block_count;
    unsigned clock;
    size_t size;
    struct ncr_mutex mutex;
};

extern struct ncr_recorder ncr_recorder;

void ncr_record_open(void);

/* ---- record.c: one call ---- */

/* Argument registers, and the words that a stub leaves room for: those, arguments on the stack, what stands for none. */
#if defined(__x86_64__)
#define NCR_RECORD_REGISTERS 6
#else
#define NCR_RECORD_REGISTERS 8
#endif
#define NCR_RECORD_WORDS 16

/* What stands below the stub of a slot. */
extern _Atomic(void *) ncr_record_below[2 * NCR_ROWS];
extern uint8_t ncr_record_flags[TRACE_FUNCTIONS]; /* of every record of a function: emulated, routed */

int ncr_record_call(unsigned stub, uintptr_t *words, const uintptr_t *stack);
unsigned ncr_record_function(unsigned row);
uint64_t ncr_record_ticks(void);

/* A thread's own part. `row` is valid while `generation` is that of the file. */
struct ncr_recording {
    struct trace_thread *row;
    struct trace_record *next; /* in the ring, of this thread's block */
    uint32_t left;             /* records left in the block */
    uint32_t generation;       /* of the file that the thread last asked for; row NULL: it got none */
    uint32_t index;
    uint32_t blocks[2]; /* the thread's block of the ring and the one before, plus 1; 0: none */
    const void *frame;  /* the stack of the call that the thread is inside of, NULL outside */
    uintptr_t caller_start, caller_size;
    struct trace_total *total; /* of the last call, and what calls are counted there; `like` 0: none */
    uint64_t like;
    uint64_t pair_ticks; /* when this thread last looked at the age of the clock pair */
    uint8_t caller;
    uint16_t grouped; /* communicators that its open group makes */
};

extern __thread struct ncr_recording ncr_recording;

/* ---- threads.c: rows and blocks ---- */

bool ncr_record_attach(void);
void ncr_record_leave_out(void);
bool ncr_record_take_block(void);

/* ---- callers.c ---- */

uint8_t ncr_record_caller(uintptr_t address);

/* ---- communicators.c: rows and handles ---- */

enum { NCR_RECORD_HANDLES = 4096 };

/* Handles, by open addressing. Looked up without a lock by every call; changed under the recorder's. */
extern struct ncr_record_handle {
    _Atomic uintptr_t handle; /* 0 free; 1: was used */
    uint16_t row;
} ncr_record_handles[NCR_RECORD_HANDLES];

static inline unsigned ncr_record_place(uintptr_t handle) {
    return (unsigned)((handle * 0x9e3779b97f4a7c15u) >> 52);
}

int ncr_record_other_row(const void *handle);

/* The row of a communicator, by its handle. */
static inline int ncr_record_row(const void *handle) {
    const struct ncr_record_handle *place = &ncr_record_handles[ncr_record_place((uintptr_t)handle)];
    if (atomic_load_explicit(&place->handle, memory_order_acquire) == (uintptr_t)handle && handle)
        return place->row;
    return ncr_record_other_row(handle);
}

int ncr_record_add_comm(const struct trace_comm *comm);
void ncr_record_bind_handle(int row, const void *handle);
int ncr_record_forget_handle(const void *handle);
void ncr_record_forget_all(void);
uint64_t ncr_record_hash(uint64_t seed, const void *bytes, size_t size);

/* ---- creation.c ---- */

/* A creating call under way. */
struct ncr_creation {
    ncr_comm *where; /* where the program wants the handle; of ncclCommInitAll, the first of `count` */
    int rows[64];    /* of the new communicators */
    int count;
    int color, key; /* of a split */
    const void *config;
};

void ncr_record_creating(unsigned function, const uintptr_t *registers, const uintptr_t *stack,
                         struct ncr_creation *creation, int parent_row);
void ncr_record_splitting(struct ncr_creation *creation, int parent_row);
void ncr_record_created(const struct ncr_creation *creation, int result);
void ncr_record_end_comm(int row, const void *handle, unsigned function, int result);

/* ---- pending.c: handles that are written after the call has returned ---- */

void ncr_record_expect(int row, ncr_comm *where, int result);
void ncr_record_settle(int result);
void ncr_record_look_at_pending(void);
int ncr_record_async_error(ncr_comm comm, int *state);
int ncr_record_take_pending(uintptr_t handle);
void ncr_record_complete(int row, const void *handle);
void ncr_record_forget_pending(void);

/* ---- capture.c ---- */

void ncr_record_find_driver(void);
uint8_t ncr_record_ask_driver(ncr_stream stream);
extern _Atomic(void *) ncr_record_question; /* the driver's function; NULL: no driver */

/* TRACE_CAPTURED, TRACE_CAPTURE_UNKNOWN, or 0. */
static inline uint8_t ncr_record_capture_flags(ncr_stream stream) {
    return atomic_load_explicit(&ncr_record_question, memory_order_relaxed) ? ncr_record_ask_driver(stream)
                                                                            : TRACE_CAPTURE_UNKNOWN;
}

#endif
