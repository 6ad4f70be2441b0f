/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of the backend: what each file offers to the others. A function hostmem_ncclX is the code of the exported
 * ncclX (and pncclX): exports.S gives it those names. Calls between files never go through exported names.
 *
 * How data moves: each operation becomes steps (send, receive, receive and reduce, …) in a queue of its communicator;
 * the outermost group end runs the queues of all communicators of the group together until they are empty. Steps of
 * ranks meet in pipes, small rings of slots in shared memory, one per pair of ranks and channel.
 */
#ifndef HOSTMEM_BACKEND_H
#define HOSTMEM_BACKEND_H

#include "hostmem.h"

#include <stdatomic.h>
#include <stdbool.h>

/* ---- error.c ---- */

const char *hostmem_ncclGetErrorString(ncclResult_t result);

/* Sets the text of ncclGetLastError and returns `result`, so that a failure is one statement. Any thread. */
ncclResult_t fail(ncclResult_t result, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- reduce.c ---- */

/*
 * A reduction of one rank: contributions are multiplied by `scale` if `scaled`, combined with `op` (sum, prod, max,
 * min), and the result is divided by `divisor` if that is not 0. `scale` holds one element of the reduced type.
 */
struct reduction {
    ncclRedOp_t op;
    bool scaled;
    uint64_t divisor;
    _Alignas(8) unsigned char scale[8];
};

/* Bytes of an element; 0 if NCCL of HOSTMEM_VERSION has no such type. */
size_t type_size(ncclDataType_t type);
/* True if elements can be reduced; fp8 is only moved. */
bool type_is_reducible(ncclDataType_t type);
/* True for float16, bfloat16, float32, float64. */
bool type_is_floating(ncclDataType_t type);
/* Stores 1/divisor, rounded to a floating `type`, into reduction->scale. */
void reduction_scale_by_inverse(struct reduction *reduction, ncclDataType_t type, int divisor);
/* into[i] = op(into[i], from[i]) for `count` elements. */
void reduction_combine(const struct reduction *, ncclDataType_t, void *into, const void *from, size_t count);
/* What a rank does to its own contribution before it is combined. */
void reduction_prepare(const struct reduction *, ncclDataType_t, void *elements, size_t count);
/* What is done once to the combined result. */
void reduction_finish(const struct reduction *, ncclDataType_t, void *elements, size_t count);

/* ---- redop.c ---- */

struct premul_op {
    bool used;
    ncclDataType_t type;
    const void *pointer; /* residence ncclScalarDevice: read when a collective is called; otherwise NULL */
    unsigned char scalar[8];
};

/* Turns an operator of a call into a reduction; ncclInvalidArgument if it is unknown or does not fit the type. */
ncclResult_t redop_resolve(ncclComm_t comm, ncclRedOp_t op, ncclDataType_t type, struct reduction *reduction);

/* ---- segment.c: the shared memory of one communicator ---- */

enum { SLOT_BYTES = 32768, SLOTS = 4, CACHE_LINE = 64, MAX_RANKS = 1024, PATH_BYTES = 192 };

/*
 * Collectives and point-to-point operations of a group may be mixed in a different order on each rank, so that each
 * kind has pipes of its own.
 */
enum channel { COLLECTIVE, POINT_TO_POINT, CHANNELS };

struct slot {
    size_t bytes;
    _Alignas(CACHE_LINE) unsigned char data[SLOT_BYTES];
};

/* One writer (rank), one reader (rank). Slots [read, written) hold data; both only grow. */
struct pipe {
    _Alignas(CACHE_LINE) _Atomic uint64_t written;
    _Alignas(CACHE_LINE) _Atomic uint64_t read;
    struct slot slots[SLOTS];
};

struct member {
    _Alignas(CACHE_LINE) _Atomic uint32_t bell; /* counts events that may let this rank go on */
    _Atomic uint32_t waiting;                   /* 1 while the rank sleeps on its bell */
    _Atomic uint32_t present;
};

/* All zero, as a new file is, is the valid first state: whoever comes first need not initialise it for the others. */
struct segment {
    _Atomic uint32_t attached; /* ranks that came */
    _Atomic uint32_t ready;    /* 1 when all came; the file has no name any more */
    _Atomic uint32_t aborted;  /* 1 + rank that gave up, 0 if none */
    struct member members[];   /* nranks of them, then the pipes */
};

/* Writes a fresh path for a segment; false if there is no random source. */
bool segment_new_path(char *path, size_t size);
/* Opens or creates the segment at `path`, the same on all ranks, and enters `rank`. Does not wait. */
ncclResult_t segment_attach(const char *path, int nranks, int rank, struct segment **segment);
/* Waits until all ranks are attached, at most `timeout` seconds, 0 to look only: false if they are not. */
bool segment_wait_ready(struct segment *segment, double timeout);
void segment_detach(struct segment *segment, const char *path, int nranks);
struct pipe *segment_pipe(struct segment *, int nranks, enum channel, int from, int to);
/* Tells all ranks that `rank` will not go on. */
void segment_abort(struct segment *segment, int nranks, int rank);

/* ---- pipe.c ---- */

/* The next slot to fill or to empty, or NULL if the ring is full or empty. Each is followed by its second half. */
struct slot *pipe_begin_write(struct pipe *pipe);
void pipe_end_write(struct pipe *pipe);
const struct slot *pipe_begin_read(struct pipe *pipe);
void pipe_end_read(struct pipe *pipe);

double seconds_now(void);
/* Sleeps while *word == value, at most `seconds`; may return early. Works between processes. */
void futex_wait(_Atomic uint32_t *word, uint32_t value, double seconds);
void futex_wake_all(_Atomic uint32_t *word);
void bell_ring(struct member *member);
/* Sleeps until the bell has moved on from `seen`, at most `seconds`; may return early. */
void bell_wait(struct member *member, uint32_t seen, double seconds);

/* ---- engine.c ---- */

enum step_kind {
    STEP_SEND,   /* `from` to `peer`, prepared by `how` if that is set */
    STEP_RECV,   /* from `peer` into `to` */
    STEP_REDUCE, /* from `peer`, combined into `to` */
    STEP_OWN,    /* `from` of this rank into `to`, prepared; waits for all steps before it */
    STEP_FINISH  /* the end of a reduction in `to`; waits for all steps before it */
};

struct step {
    enum step_kind kind;
    int peer;
    ncclDataType_t type;
    struct reduction how; /* used where how_set */
    bool how_set;
    bool complete;
    const unsigned char *from;
    unsigned char *to;
    size_t bytes;
    size_t done;
    void *scratch; /* freed with the step */
};

struct queue {
    struct step *steps;
    size_t count, capacity, first; /* all steps before `first` are complete */
};

/* Appends a copy of the step. ncclInvalidArgument if it needs a buffer that is NULL. */
ncclResult_t engine_add(ncclComm_t comm, enum channel channel, const struct step *step);
/* Runs the queues of all communicators linked by next_in_group until they are empty. */
ncclResult_t engine_run(ncclComm_t first);
/* Empties the queues of one communicator without running them. */
void engine_drop(ncclComm_t comm);

/* ---- comm.c ---- */

/* Used by one thread at a time, as NCCL asks; other threads may ask for the error and abort. */
struct ncclComm {
    uint32_t magic;
    int nranks, rank, device;
    bool blocking;
    bool finalized;
    double timeout;              /* seconds without progress */
    double deadline;             /* until when a non-blocking creation may take */
    _Atomic uint32_t joined;     /* 1 when all ranks are known to be attached */
    _Atomic uint32_t error;      /* the ncclResult_t that made it unusable */
    _Atomic uint32_t background; /* 1 while a thread splits it */
    _Atomic uint32_t users;      /* groups, open or running, that hold it: an abort waits for them */
    struct segment *segment;
    char path[PATH_BYTES]; /* of the segment; children derive theirs from it */
    unsigned splits;       /* equal on all ranks, because ncclCommSplit is collective */
    struct queue queues[CHANNELS];
    bool *busy; /* scratch of engine.c, 2 * nranks */
    struct premul_op *premuls;
    int npremuls;
    struct ncclComm *next_in_group;
};

/* Makes a communicator that is attached but may still miss other ranks; comm_join waits for those. */
ncclResult_t comm_create(ncclComm_t *comm, const char *path, int nranks, int rank, int device, bool blocking);
ncclResult_t comm_join(ncclComm_t comm);
/* ncclSuccess if the handle is a communicator that can work; otherwise what a call on it must return. */
ncclResult_t comm_check(ncclComm_t comm, const char *function);
void comm_free(ncclComm_t comm);
/* Makes the communicator unusable here and tells the other ranks. Returns `result`. */
ncclResult_t comm_break(ncclComm_t comm, ncclResult_t result);

/* ---- init.c ---- */

/* Reads a caller's configuration, NULL allowed, into *blocking, which keeps its value if the caller left it open. */
ncclResult_t config_read(const ncclConfig_t *config, bool *blocking);

/* ---- split.c ---- */

struct split;
/* The second half of ncclCommSplit, when the colors of all ranks are known: *child is NULL without a color. */
ncclResult_t split_finish(struct split *split, ncclComm_t *child);
void split_free(struct split *split);
/* The whole of ncclCommSplit, in the calling thread. */
ncclResult_t split_now(ncclComm_t comm, int color, int key, ncclComm_t *newcomm, const ncclConfig_t *config);

/* ---- background.c: splits of non-blocking communicators, by a thread as in NCCL ---- */

ncclResult_t background_split(ncclComm_t comm, int color, int key, ncclComm_t *newcomm, const ncclConfig_t *config);
/* Is a thread at work on it, and not the calling one? */
bool background_is_other(ncclComm_t comm);
void background_wait(ncclComm_t comm);

/* ---- group.c ---- */

/*
 * Every call that does something is enclosed in this pair, so that a call outside of a group is a group of one. The
 * result of the call goes through group_leave, which runs the group if it is the outermost.
 */
void group_enter(void);
bool group_is_open(void);
ncclResult_t group_leave(ncclResult_t result);
/* Says that the communicator has steps to run in this group. */
void group_add(ncclComm_t comm);
/* Takes the communicator, with its steps, out of the group of the calling thread, if it is there. */
void group_forget(ncclComm_t comm);
/* Has the group end wait for a new communicator, or make it from a split; *newcomm becomes NULL if that fails. */
ncclResult_t group_add_join(ncclComm_t comm, ncclComm_t *newcomm);
ncclResult_t group_add_split(struct split *split, ncclComm_t *newcomm);

/* ---- collective.c, p2p.c ---- */

/* Checks what all operations share: communicator, type, root or peer (0 where there is none), counts that cannot be. */
ncclResult_t operation_check(const char *function, ncclComm_t comm, ncclDataType_t type, int root, size_t count);

/* The plain collectives, which the forms with a configuration call. */
ncclResult_t hostmem_ncclAllReduce(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t,
                                   hostmem_stream_t);
ncclResult_t hostmem_ncclBroadcast(const void *, void *, size_t, ncclDataType_t, int, ncclComm_t, hostmem_stream_t);
ncclResult_t hostmem_ncclReduce(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, int, ncclComm_t,
                                hostmem_stream_t);
ncclResult_t hostmem_ncclAllGather(const void *, void *, size_t, ncclDataType_t, ncclComm_t, hostmem_stream_t);
ncclResult_t hostmem_ncclReduceScatter(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t,
                                       hostmem_stream_t);
ncclResult_t hostmem_ncclAlltoAll(const void *, void *, size_t, ncclDataType_t, ncclComm_t, hostmem_stream_t);
ncclResult_t hostmem_ncclGather(const void *, void *, size_t, ncclDataType_t, int, ncclComm_t, hostmem_stream_t);
ncclResult_t hostmem_ncclScatter(const void *, void *, size_t, ncclDataType_t, int, ncclComm_t, hostmem_stream_t);

/* ---- exports.S ---- */

/* "NCCL version X.Y.Z+hostmem": tools read a library's version from such a string in its read-only data. */
extern const char hostmem_version_text[];

#endif
