/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of traces: from files, of any age and in any state, to what is wrong with the job. It asks nothing of the
 * traced processes, and shares only format.h and calls.def with the recorder that writes the files.
 *
 * The way of a question: trace_set_open() opens and checks every file; trace_clocks_align() makes times of several
 * hosts comparable; trace_comms_join() finds which rows of which files are one communicator; trace_match() goes through
 * all records once and compares what ranks passed; trace_judge() asks who waits for whom, and makes findings of it;
 * words.c puts them into words. Whatever a file holds is checked where it is read (file.c), so that later steps need
 * not doubt an index.
 */
#ifndef TRACE_H
#define TRACE_H

#include "format.h"
#include "loader.h"

#include <stdio.h>

/* ---- calls.c: names and classes of functions, types, operators, results ---- */

enum trace_class { TRACE_COLLECTIVE, TRACE_MESSAGE, TRACE_ONESIDED, TRACE_GROUP, TRACE_CREATE, TRACE_END, TRACE_LOCAL };

struct trace_call {
    const char *name;
    enum trace_class class;
    enum trace_function like;
    int comm; /* the communicator is this argument, -1 if there is none */
};

const struct trace_call *trace_call(unsigned function);
bool trace_is_collective(unsigned function); /* has a number among the collectives of its communicator */
const char *trace_call_name(unsigned function);
const char *trace_type_name(unsigned type);
unsigned trace_type_size(unsigned type);
const char *trace_operator_name(unsigned op);
const char *trace_result_name(unsigned result);

/* ---- memory.c ---- */

void *trace_take(size_t count, size_t size); /* zeroed; ends the program when there is no memory */
void *trace_more(void *list, size_t count, size_t size);

/* ---- file.c: one file, opened and checked ---- */

struct trace_file {
    char *path;
    int descriptor;
    struct trace_header header; /* texts end with NUL and have no control characters */
    struct trace_comm *comms;
    struct trace_thread *threads;
    struct trace_caller *callers;
    struct trace_library *libraries;
    unsigned comm_count, thread_count, caller_count, library_count, ring_count;
    enum trace_life life;
    const char *host;    /* as people call it */
    int global_rank;     /* by a launcher's variable; -1 unknown */
    unsigned host_index; /* equal for files of one host */
    bool moved;          /* calls began or ended while it was watched (watch.c) */
    uint64_t progress;   /* sum of what only grows, for watch.c */

    /* clock.c */
    double ns_per_tick;
    int64_t host_shift; /* to be added to a monotonic time of this host */
    int64_t now;        /* when it was looked at, ns, aligned */
    uint64_t zero_ticks, zero_ns;

    /* match.c */
    uint64_t made, kept;      /* records; the others were overwritten */
    struct trace_peer *peers; /* by key; without what is in an open group */
    unsigned peer_count;
    struct trace_record *tail; /* the newest records by time, then those that threads are inside of (leave 0) */
    unsigned tail_count, inside_count;
    int64_t newest; /* aligned time of the newest stamp */

    /* comms.c */
    unsigned *communicator, *member; /* of each row of `comms` */
};

struct trace_file *trace_file_open(const char *path, char **why);
void trace_file_close(struct trace_file *file);
bool trace_file_reread(struct trace_file *file); /* the tables, of a process that runs */
size_t trace_file_ring(const struct trace_file *file, struct trace_record **records, size_t *room);
void *trace_file_table(const struct trace_file *file, enum trace_table_name name, size_t row_size, unsigned *rows);
const char *trace_file_variable(const struct trace_file *file, const char *name);
void trace_clean_text(char *text);

/* ---- life.c ---- */

enum trace_life trace_life(const struct trace_file *file);
bool trace_is_of_this_host(const struct trace_file *file);
const char *trace_boot_id(void);
int trace_find_rank(const struct trace_file *file);

/* ---- clock.c: all times are ns on one line, by the first host's monotonic clock ---- */

struct trace_set;
uint64_t trace_ticks_now(unsigned clock);
void trace_clock_read(struct trace_file *file);
void trace_clocks_align(struct trace_set *set);
int64_t trace_time(const struct trace_file *file, uint64_t ticks);

/* ---- set.c: the files of a job ---- */

struct trace_set {
    struct trace_file **files;
    unsigned count;
    unsigned hosts;
    int64_t clock_error; /* ns, by which times of two hosts may be apart; 0 for one host */
    struct {
        char *path, *why;
    } * refused;
    unsigned refused_count;
    struct trace_communicator *communicators;
    unsigned communicator_count;
    struct trace_matching *matching;
};

typedef void trace_progress(void *arg, const char *what, unsigned done, unsigned all);

unsigned trace_set_add(struct trace_set *set, const char *path); /* a file, or a folder with files */
void trace_set_keep(struct trace_set *set, const bool *wanted);
void trace_set_close(struct trace_set *set);
char *trace_standard_folder(void);

/* ---- job.c, watch.c: which files are of one job, and does it move? ---- */

void trace_keep_current(struct trace_set *set);
unsigned *trace_jobs(const struct trace_set *set);
bool trace_watch(struct trace_set *set, unsigned ms);
uint64_t trace_progress_of(const struct trace_file *file);

/* ---- comms.c: communicators across ranks ---- */

struct trace_member {
    unsigned file, row;
    int rank;          /* -1 unknown */
    uint64_t called;   /* collectives that it has begun, */
    uint64_t launched; /* and those of them that are in no open group */
};

struct trace_communicator {
    uint64_t identity;
    char *label;
    int ranks;                    /* as the program said; -1 unknown */
    struct trace_member *members; /* by rank */
    unsigned count;
    bool made; /* a blocking creation has returned somewhere: every rank was there */
};

void trace_comms_join(struct trace_set *set);
void trace_comms_free(struct trace_set *set);
const struct trace_comm *trace_member_row(const struct trace_set *set, const struct trace_member *member);
const struct trace_communicator *trace_comm_of(const struct trace_set *set, const struct trace_file *file,
                                               const struct trace_record *record);
bool trace_find_member(const struct trace_communicator *comm, int rank, unsigned *member);

/* ---- pages.c: sparse arrays by a key of two words ---- */

struct trace_pages {
    struct trace_page **table;
    size_t room, used;
    size_t item;
    char *arena;
    size_t arena_left;
    void **arenas;
    size_t arena_count;
};

enum { TRACE_PAGE = 16 };

struct trace_page {
    uint64_t key[2];
    uint64_t first; /* number of its first item */
    _Alignas(8) char items[];
};

void *trace_pages_item(struct trace_pages *pages, uint64_t key, uint64_t key2, uint64_t number, bool make);
const struct trace_page *trace_pages_next(const struct trace_pages *pages, size_t *at);
void trace_pages_free(struct trace_pages *pages);

/* ---- match.c: what ranks passed, compared call by call ---- */

/* What the ranks that have made a collective passed, and when they came. */
struct trace_instance {
    uint64_t count;
    int32_t peer;
    uint8_t function, type, op, flags;
    uint32_t seen;         /* ranks */
    uint32_t first_member; /* whose arguments these are */
    int64_t first_enter;
    uint32_t span_us; /* between the first and the last */
    uint32_t last_member;
};

enum { TRACE_SENT = 1, TRACE_RECEIVED = 2, TRACE_NOTHING = 4 };

struct trace_transfer {
    uint64_t count;
    uint8_t type, state, flags, spare[5];
};

/* A rank that passed something else than the first one. */
struct trace_odd {
    unsigned communicator, member; /* the member; of a message, its receiver */
    unsigned other;                /* of a message, its sender */
    struct trace_record record;
    struct trace_instance expected; /* of a message, count and type */
};

struct trace_matching {
    struct trace_pages collectives; /* of struct trace_instance, key: communicator */
    struct trace_pages transfers;   /* of struct trace_transfer, key: communicator, sender << 32 | receiver (ranks) */
    struct trace_odd *odd;
    size_t odd_count, odd_left_out;
    struct trace_odd *failed; /* calls that returned an error; `expected` is unused */
    size_t failed_count;
    uint64_t records, captured;
};

void trace_match(struct trace_set *set, trace_progress *progress, void *arg);
typedef void trace_record_visitor(void *arg, unsigned file, const struct trace_record *record);
void trace_each_record(struct trace_set *set, trace_record_visitor *visit, void *arg);
void trace_each_record_of(struct trace_set *set, unsigned index, trace_record_visitor *visit, void *arg);
void trace_match_free(struct trace_set *set);
bool trace_same_arguments(const struct trace_instance *expected, const struct trace_record *record);
struct trace_instance trace_instance_of(const struct trace_record *record);

/* ---- peers.c: how many messages have gone between two ranks ---- */

void trace_peers_read(struct trace_file *file);
struct trace_peer *trace_peer_find(const struct trace_file *file, unsigned comm, int rank);

/* ---- wait.c: who waits for whom ---- */

/* A call that some ranks have made and others, whom it takes, have not. */
struct trace_pending {
    unsigned communicator;
    unsigned function;           /* what the missing ones lack: a collective, ncclSend, ncclRecv, a creating function */
    uint64_t call;               /* 0: the creation of the communicator */
    struct trace_record record;  /* the call of one that waits; sequence 0 if it was overwritten */
    unsigned *waiting, *missing; /* members */
    unsigned waiting_count, missing_count;
    unsigned *culprits; /* those of the missing ones that wait for nobody themselves */
    unsigned culprit_count;
    int *absent; /* ranks of which there is no file, the first MOST_ABSENT of them */
    unsigned absent_count;
    int64_t since;      /* when the last of the waiting ones came; 0 if no record tells */
    bool inside;        /* the waiting ones are inside of the call */
    bool in_open_group; /* the missing ones have called it, in a group that is still open */
    bool root;          /* there is a culprit, or a rank without a file */
};

enum { TRACE_MOST_ABSENT = 1024 };

struct trace_waits {
    struct trace_pending *list;
    unsigned count;
    unsigned *cycle; /* indices into list: a missing one of each waits in the next, and of the last in the first */
    unsigned cycle_count;
};

void trace_waits_find(const struct trace_set *set, struct trace_waits *waits);
void trace_waits_free(struct trace_waits *waits);
const struct trace_record *trace_find_record(const struct trace_file *file, unsigned row, unsigned function,
                                             uint64_t call, int peer);

/* ---- order.c ---- */

/* A call of a cycle of orders: `file` makes it before the next one. */
struct trace_step {
    unsigned file;
    struct trace_record record;
};
unsigned trace_order_cycle(const struct trace_set *set, struct trace_step **steps);

/* ---- judge.c ---- */

enum trace_kind {
    TRACE_NOTHING_WRONG,
    TRACE_ALL_INSIDE,
    TRACE_CALL_FAILED,
    TRACE_LIBRARIES_DIFFER,
    TRACE_RANK_MISSING,
    TRACE_INIT_MISSING,
    TRACE_RANK_DEAD,
    TRACE_RANK_STOPPED,
    TRACE_FUNCTION_DIFFERS,
    TRACE_COUNT_DIFFERS,
    TRACE_TYPE_DIFFERS,
    TRACE_OPERATOR_DIFFERS,
    TRACE_ROOT_DIFFERS,
    TRACE_SEND_WITHOUT_RECEIVE,
    TRACE_RECEIVE_WITHOUT_SEND,
    TRACE_MESSAGE_DIFFERS,
    TRACE_WRONG_PEER,
    TRACE_ORDER_DIFFERS,
    TRACE_GROUP_OPEN,
    TRACE_KINDS
};

enum trace_certainty { TRACE_CERTAIN, TRACE_LIKELY, TRACE_POSSIBLE };

struct trace_finding {
    enum trace_kind kind;
    enum trace_certainty certainty;
    struct ncr_text sentence;   /* one line of one or more sentences */
    struct ncr_text doubts;     /* why it is not certain: clauses joined by "; " */
    int communicator;           /* index, or -1 */
    uint64_t call;              /* number, or 0 */
    unsigned function;          /* or 0 */
    struct trace_record record; /* the arguments that most have passed; sequence 0 if there are none */
    unsigned *members, *others; /* of the communicator: whom it is about, and who suffers from it */
    unsigned member_count, other_count;
    int file;      /* of the first of `members`, or -1 */
    int64_t since; /* aligned ns, or 0 */
};

struct trace_findings {
    struct trace_finding *list; /* the likely cause first */
    unsigned count;
};

struct trace_finding *trace_findings_add(struct trace_findings *findings, enum trace_kind kind, int communicator);
void trace_finding_doubt(struct trace_finding *finding, enum trace_certainty certainty, const char *format, ...)
    NCR_PRINTF(3, 4);

void trace_judge(struct trace_set *set, struct trace_findings *findings);
void trace_findings_free(struct trace_findings *findings);
const char *trace_kind_name(enum trace_kind kind);
const char *trace_kind_meaning(enum trace_kind kind);
const char *trace_certainty_name(enum trace_certainty certainty);

/* ---- disagree.c, stuck.c, complete.c: the kinds of evidence ---- */

void trace_judge_arguments(const struct trace_set *set, struct trace_findings *findings);
void trace_judge_failures(const struct trace_set *set, struct trace_findings *findings);
void trace_judge_libraries(const struct trace_set *set, struct trace_findings *findings);
void trace_judge_waits(const struct trace_set *set, const struct trace_waits *waits, struct trace_findings *findings);
void trace_judge_cycle(const struct trace_set *set, const struct trace_waits *waits, struct trace_findings *findings);
void trace_judge_order(const struct trace_set *set, struct trace_findings *findings);
void trace_judge_inside(const struct trace_set *set, struct trace_findings *findings);

/* ---- pace.c: how fast jobs went ---- */

/* Calls of one kind in one run, and how long it was from each to the thread's next. */
struct trace_pace_row {
    int ranks; /* of the communicator */
    unsigned function;
    unsigned class; /* of size, as in struct trace_total */
    uint64_t calls;
    double ns;
    uint64_t threads; /* that have made one */
};

struct trace_pace {
    struct trace_pace_row *rows;
    unsigned count;
    uint64_t captured;  /* calls: what graphs replay is not in it */
    unsigned processes; /* with a communicator */
    int version;        /* of their NCCL; 0 unknown */
};

struct trace_comparison_row {
    struct trace_pace_row kind;
    uint64_t calls[2];
    double ns[2]; /* mean from a call to the next */
};

enum { TRACE_LEAST_RUNS = 3 };

struct trace_comparison {
    struct trace_comparison_row *rows; /* what takes longest first */
    unsigned count;
    uint64_t calls;          /* that are compared, */
    double share;            /* of all */
    double ns[2];            /* an average call of the mix */
    double ratio, low, high; /* of the second to the first, with its 95 % interval over runs */
    bool enough;             /* runs for an interval */
    bool differs;            /* it does not hold 1 */
};

void trace_pace_read(struct trace_set *set, struct trace_pace *pace);
void trace_pace_compare(const struct trace_pace *a, unsigned a_count, const struct trace_pace *b, unsigned b_count,
                        struct trace_comparison *comparison);

/* ---- words.c ---- */

void trace_say_call(struct ncr_text *text, unsigned function, uint64_t call);
void trace_say_arguments(struct ncr_text *text, const struct trace_record *record);
void trace_say_duration(struct ncr_text *text, int64_t ns);
void trace_say_numbers(struct ncr_text *text, const int *numbers, unsigned count);
void trace_say_capital(struct ncr_text *text, size_t at);
void trace_say_members(struct ncr_text *text, const struct trace_set *set, const struct trace_communicator *comm,
                       const unsigned *members, unsigned count);
void trace_say_comm(struct ncr_text *text, const struct trace_communicator *comm);
void trace_say_state(struct ncr_text *text, const struct trace_set *set, const struct trace_communicator *comm,
                     unsigned member);
const char *trace_caller_name(const struct trace_file *file, const struct trace_record *record);
int64_t trace_set_now(const struct trace_set *set);

#endif
