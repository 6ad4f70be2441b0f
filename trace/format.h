/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that one traced process leaves: its one definition, shared by the recorder in the preload (which writes it
 * through a mapping) and by the reader in the tool (which never needs the writer to be alive, or to help).
 *
 *   header        who wrote it: host, process, command line, rank variables, clocks; and where the tables stand
 *   communicators one row each: identity, ranks, how many collectives it has seen
 *   threads       one row each, a few cache lines of its own: the call that the thread is in, its open group
 *   totals        calls and bytes by (communicator, function, type, size class); exact however often the ring wraps
 *   peers         sends and receives by (communicator, peer), so that a message has a number that both ends agree on
 *   callers       the libraries that called; libraries: the NCCLs that were called
 *   blocks        who owns which block of the ring
 *   ring          64-byte records of finished calls
 *
 * Who may write what, without a lock:
 *   - A thread owns its row. While it is inside a call, `inside` is that call's record; nobody else can overwrite it,
 *     however long the call hangs and however often other threads fill the ring meanwhile.
 *   - A finished call goes to the ring, once. The ring is handed out in blocks of TRACE_BLOCK records: a thread takes a
 *     block by a compare-and-exchange on its owner, fills it alone, and gives it up when it takes the next but one. So
 *     there are never two writers of a record, and a thread that stops forever keeps its newest records.
 *   - A record's `sequence` is set to 0 before anything of it changes and written last. It says which thread wrote the
 *     record, and that thread's number of it, so that it never repeats: a reader that finds the same bytes twice, with
 *     a sequence that is not 0, has a complete record. A process that is killed leaves a record complete, or with
 *     sequence 0.
 *   - `written` of a thread is stored behind the record. Records that were made = the sum over threads of the larger of
 *     `written` and the highest sequence in the ring; what of these is not in the ring was overwritten: lost records are
 *     counted exactly.
 *   - Totals are rows of one thread each (the thread is part of the key). NCCL does not allow two threads to use a
 *     communicator at the same time, so that rows of communicators and peers need no atomic addition.
 *
 * All numbers are in the byte order of the writer; `order` tells a reader of another one. Stamps are ticks of the clock
 * that the header names. Rows may grow at their end in a later minor version: a reader goes by the row size that the
 * file gives. In a new major version existing fields have another meaning.
 */
#ifndef TRACE_FORMAT_H
#define TRACE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC "NCRTRACE"
#define TRACE_SUFFIX ".ncrtrace"

enum {
    TRACE_MAJOR = 1,
    TRACE_MINOR = 0,
    TRACE_ORDER = 0x01020304,

    TRACE_RECORDS = 65536, /* standard size of the ring; a power of two */
    TRACE_LEAST_RECORDS = 1024,
    TRACE_MOST_RECORDS = 1 << 22,
    TRACE_BLOCK = 16, /* records that a thread takes at a time */
    TRACE_COMMS = 1024,
    TRACE_THREADS = 256,
    TRACE_TOTALS = 8192,
    TRACE_PEERS = 8192,
    TRACE_CALLERS = 64,
    TRACE_LIBRARIES = 16
};

/* Functions by their row in calls.def; the number is part of the format, so rows are only ever appended. */
enum trace_function {
    TRACE_NO_FUNCTION,
#define CALL(name, ...) TRACE_##name,
#include "calls.def"
    TRACE_FUNCTIONS
};

/* ---- a call ---- */

enum trace_flag {
    TRACE_IN_GROUP = 1 << 0,        /* between ncclGroupStart and ncclGroupEnd: launched by the latter */
    TRACE_CAPTURED = 1 << 1,        /* the stream was being captured: what a graph replays later is not seen */
    TRACE_CAPTURE_UNKNOWN = 1 << 2, /* the driver could not be asked */
    TRACE_NONBLOCKING = 1 << 3,     /* of a communicator that was made with blocking = 0 */
    TRACE_EMULATED = 1 << 4,        /* emulated by the preload library with other calls of the backend */
    TRACE_ROUTED = 1 << 5,          /* several NCCLs are in use in this process */
    TRACE_UNNUMBERED = 1 << 6       /* a message whose number is not known: the table of peers was full */
};

enum trace_operator { TRACE_SUM, TRACE_PROD, TRACE_MAX, TRACE_MIN, TRACE_AVG, TRACE_CUSTOM, TRACE_NO_OPERATOR = 255 };

enum { TRACE_NO_TYPE = 255, TRACE_NO_COMM = 0xffff, TRACE_NO_CALLER = 255, TRACE_NO_PEER = -1 };

struct trace_record {
    uint64_t enter;
    uint64_t leave;    /* 0 while the thread is inside */
    uint64_t count;    /* elements; bytes for functions without a type */
    uint64_t stream;   /* the handle, as a number; 0 is the legacy stream or none */
    uint64_t call;     /* the number of the collective on the communicator, from 1; of a message, its number between
                        * these two in this direction; 0 for other functions */
    uint32_t group;    /* the number of the thread's group, 0 outside of groups */
    int32_t peer;      /* peer or root, TRACE_NO_PEER where there is none */
    uint16_t comm;     /* row of the communicator, TRACE_NO_COMM where there is none */
    uint8_t function;  /* enum trace_function */
    uint8_t type;      /* ncclDataType_t, TRACE_NO_TYPE where there is none */
    uint8_t op;        /* enum trace_operator */
    uint8_t result;    /* ncclResult_t, valid once left */
    uint8_t caller;    /* row of the calling library */
    uint8_t flags;     /* enum trace_flag */
    uint64_t sequence; /* thread << 48 | number from 1; 0: not whole */
};

#define TRACE_THREAD_OF(sequence) ((unsigned)((sequence) >> 48))
#define TRACE_NUMBER_OF(sequence) ((sequence)&0xffffffffffffu)

_Static_assert(sizeof(struct trace_record) == 64, "a record is one cache line");
_Static_assert(offsetof(struct trace_record, sequence) == 56, "the sequence is the last word of a record");

/* ---- tables ---- */

enum trace_origin { TRACE_UNSEEN, TRACE_INIT, TRACE_INIT_ALL, TRACE_SPLIT, TRACE_SHRINK, TRACE_GROW };

enum trace_ending { TRACE_OPEN, TRACE_FINALIZED, TRACE_DESTROYED, TRACE_ABORTED, TRACE_REVOKED, TRACE_NEVER_MADE };

/*
 * A communicator, or the attempt to make one: the row is there as soon as the creating call has begun. `identity` is
 * made of what all ranks pass, never of NCCL's private fields: the hash of the unique id (of all ids of a scalable
 * init); of a split its parent's identity, the number of the collective on the parent, and the color; of an init-all
 * the host, the process and its number there. A grown communicator has two: that of the id, which new ranks know, and
 * that of the parent, which old ranks know; ranks belong together that share either.
 */
struct trace_comm {
    uint64_t identity; /* written last: 0 is a free row */
    uint64_t alias;    /* a second identity, or 0 */
    uint64_t parent;   /* identity of the communicator it was made from, or 0 */
    uint64_t handle;   /* ncclComm_t as a number; 0 while not known */
    uint64_t collectives, messages, failures;
    uint64_t enter, leave; /* of the creating call; leave 0: still inside */
    uint64_t ended;        /* stamp of the end */
    int32_t ranks;         /* -1 unknown */
    int32_t rank;          /* -1 unknown */
    int32_t device;        /* -1 unknown */
    int32_t color, key;    /* of a split */
    uint16_t origin;       /* enum trace_origin */
    uint16_t ending;       /* enum trace_ending */
    uint16_t library;      /* row of its NCCL */
    uint16_t flags;        /* TRACE_NONBLOCKING */
    uint32_t shrinks;      /* made from this one so far; grows likewise */
    uint32_t grows;
    char name[64]; /* ncclConfig_t.commName */
    uint64_t reserved[9];
};
_Static_assert(sizeof(struct trace_comm) == 256, "rows of communicators share no cache line");

struct trace_thread {
    uint64_t written; /* records that it has put into the ring */
    uint32_t id;      /* the kernel's thread id; 0 is a free row */
    uint32_t depth;   /* of open groups */
    uint32_t group;   /* the number of the newest group */
    uint32_t reserved[3];
    uint64_t group_since; /* stamp of the outermost ncclGroupStart of the open group */
    uint64_t reserved_too[3];
    struct trace_record inside; /* sequence 0: in no call */
    uint64_t reserved_last[16];
};
_Static_assert(sizeof(struct trace_thread) == 256, "rows of threads share no cache line");

/* In size class 0 are calls of no bytes; class n > 0 has those of 2^(n-1) up to 2^n - 1 bytes. */
#define TRACE_SIZE_CLASS(bytes) ((bytes) ? 64 - (unsigned)__builtin_clzll(bytes) : 0)

struct trace_total {
    uint64_t key; /* TRACE_TOTAL_KEY; 0 is a free row */
    uint64_t calls, bytes;
    uint64_t ticks; /* spent inside */
};
#define TRACE_TOTAL_KEY(comm, function, type, class, thread)                                                           \
    ((uint64_t)(thread) << 48 | (uint64_t)(comm) << 32 | (uint64_t)(function) << 24 | (uint64_t)(type) << 16 |         \
     (uint64_t)(class) << 8 | 1)

struct trace_peer {
    uint64_t key; /* TRACE_PEER_KEY; 0 is a free row */
    uint64_t sends, receives;
    uint64_t reserved;
};
#define TRACE_PEER_KEY(comm, peer) ((uint64_t)(comm) << 32 | (uint32_t)(peer) | (uint64_t)1 << 63)

struct trace_caller {
    uint64_t start, end; /* addresses in the process */
    char path[240];
};
_Static_assert(sizeof(struct trace_caller) == 256, "");

struct trace_library {
    int32_t version; /* its own answer, as NCCL_VERSION_CODE; 0 unknown */
    uint32_t flags;  /* 1: an RCCL */
    char build_id[64];
    char path[952];
};
_Static_assert(sizeof(struct trace_library) == 1024, "");

/* ---- header ---- */

enum trace_clock { TRACE_CLOCK_COUNTER, TRACE_CLOCK_MONOTONIC }; /* the CPU's counter; nanoseconds since boot */

struct trace_instant {
    uint64_t ticks;     /* of the clock of the stamps */
    uint64_t monotonic; /* CLOCK_MONOTONIC, ns */
    uint64_t real;      /* CLOCK_REALTIME, ns */
    uint64_t sequence;  /* 0 while it is changed */
};

/* Where a table stands. */
struct trace_table {
    uint64_t offset; /* in the file */
    uint32_t row_size;
    uint32_t rows;
};

enum trace_table_name {
    TRACE_TABLE_COMMS,
    TRACE_TABLE_THREADS,
    TRACE_TABLE_TOTALS,
    TRACE_TABLE_PEERS,
    TRACE_TABLE_CALLERS,
    TRACE_TABLE_LIBRARIES,
    TRACE_TABLE_BLOCKS, /* uint32_t: thread row + 1 of the owner, 0 if there is none */
    TRACE_TABLE_RING,
    TRACE_TABLES
};

/* The state of a process when it was last looked at. */
enum trace_life {
    TRACE_LIFE_UNKNOWN, /* of another host, another name space */
    TRACE_RUNNING,
    TRACE_STOPPED, /* by a signal or a debugger */
    TRACE_EXITED,  /* by exit(): its exit handlers ran */
    TRACE_GONE     /* without: killed, or by _exit() */
};

struct trace_header {
    char magic[8]; /* written last: a file without it is not ready */
    uint32_t order;
    uint16_t major, minor;
    uint64_t size; /* of the file */
    uint32_t pointer_size;
    uint32_t clock;                /* enum trace_clock */
    struct trace_table tables[16]; /* by enum trace_table_name; unused ones are 0 */
    int32_t pid, parent, session;  /* in the writer's own name space */
    uint32_t user;
    uint64_t pid_space;          /* inode of that name space; 0 unknown */
    uint64_t started;            /* of the process, in clock ticks since boot, as /proc/PID/stat has it */
    uint32_t ticks_per_second;   /* of that number */
    int32_t active_version;      /* the NCCL that was active when the file was made */
    struct trace_instant opened; /* when the file was made */
    /* Set in a copy when it is collected: the state of the process, and when. The recorder leaves them 0. */
    uint32_t observed; /* enum trace_life */
    uint32_t reserved;
    struct trace_instant observed_at;
    uint64_t reserved_too[8];
    /* ---- what changes later, each on a cache line of its own ---- */
    _Alignas(64) struct trace_instant latest; /* renewed about every second while calls are made */
    _Alignas(64) uint64_t head;               /* blocks handed out so far, skipped ones included */
    _Alignas(64) uint32_t comm_count, thread_count, caller_count, library_count;
    uint64_t threads_left_out;                             /* threads for which there was no row */
    uint64_t calls_left_out;                               /* calls without a record: of such threads */
    uint64_t comms_left_out;                               /* communicators for which there was no row */
    uint64_t totals_left_out_calls, totals_left_out_bytes; /* of calls for which the table had no row */
    _Alignas(64) uint64_t ended; /* stamp: the process has run its exit handlers; 0: it runs, or was killed */
    _Alignas(64) char host[128];
    char boot_id[64];
    char product[64];       /* version of the recorder */
    char launcher[64];      /* reserved */
    char program[1024];     /* the executable */
    char command[4096];     /* arguments, each ended by NUL; cut at the end */
    char environment[4096]; /* NAME=value, each ended by NUL: rank variables of launchers, NCCL_REDIRECT* */
    char active_path[1024];
    char active_build_id[64];
};
_Static_assert(sizeof(struct trace_header) % 64 == 0, "");
_Static_assert(sizeof(struct trace_header) <= 16384, "the header has TRACE_HEADER_BYTES");
enum { TRACE_HEADER_BYTES = 16384 };

#endif
