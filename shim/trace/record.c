/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's call, made in its place and recorded: begun in the thread's row, ended in the ring, counted in the totals.
 * The hot path.
 *
 * Arguments are read where trace/calls.def says they stand, and handed on as words: NCCL's functions have integer arguments
 * only, so a word for each hands on every prototype as it is; an ncclUniqueId by value is 128 bytes of stack on x86-64 and
 * a pointer on aarch64. A wrapper in C for each function would do the same with 20 KB of code.
 */
#include "recorder.h"

#include <time.h>

/* Nothing in here has an array that could overflow; the check would cost more than a tenth of a record. */
#pragma GCC optimize("O2", "no-stack-protector")

#define likely(condition) __builtin_expect(!!(condition), 1)
#define FAST static inline __attribute__((always_inline))

__thread struct ncr_recording ncr_recording;
_Atomic(void *) ncr_record_below[2 * NCR_ROWS];
uint8_t ncr_record_flags[TRACE_FUNCTIONS];

enum class { COLLECTIVE, MESSAGE, ONESIDED, GROUP, CREATE, END, LOCAL };

/* Behind the arguments stand what a function without that fact has: no count, no type or operator, no peer. */
enum { WORDS = NCR_RECORD_WORDS, NO_COUNT = WORDS - 3, NO_TYPE, NO_PEER };

/* The arguments that are facts, and the row of the ABI's table. */
static const struct {
    uint8_t class, count, type, op, peer, comm, stream, words;
    uint16_t row;
} calls[TRACE_FUNCTIONS] = {
    {.class = LOCAL},
#define OR(n, none) ((n) == 15 ? (none) : (n))
#define WORDS_FOR(comm, stream) (OR(stream, 0) > OR(comm, 0) ? OR(stream, 0) + 2 : OR(comm, 0) + 2)
#define CALL(name, class, like, count, type, op, peer, comm, stream)                                                   \
    {class,                                                                                                            \
     OR(count, NO_COUNT),                                                                                              \
     OR(type, NO_TYPE),                                                                                                \
     OR(op, NO_TYPE),                                                                                                  \
     OR(peer, NO_PEER),                                                                                                \
     OR(comm, NO_COUNT),                                                                                               \
     OR(stream, NO_COUNT),                                                                                             \
     WORDS_FOR(comm, stream),                                                                                          \
     NCR_ROW_##name},
#include "calls.def"
};

static const uint8_t type_sizes[256] = {[0] = 1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1, [12 ... 255] = 1};

/** The clock of stamps: the CPU's counter, where it counts evenly. */
FAST uint64_t ticks(void) {
#if defined(__x86_64__)
    if (likely(ncr_recorder.clock == TRACE_CLOCK_COUNTER))
        return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#endif
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t ncr_record_ticks(void) {
    return ticks();
}

/* What another process may read at any time: not before what was written before it. */
FAST void publish(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Nothing that is written from here on is seen before what was written. */
FAST void order_writes(void) {
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* The row of a table of 2^n rows whose key is this: found, or taken. NULL if the table is full around there. */
__attribute__((noinline)) static void *keyed_row(void *table, unsigned row_bits, uint32_t rows, uint64_t key) {
    uint32_t at = (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 40) & (rows - 1);
    for (unsigned tries = 0; tries < 64; tries++, at = (at + 1) & (rows - 1)) {
        uint64_t *row = (uint64_t *)(void *)((char *)table + ((size_t)at << row_bits));
        uint64_t theirs = __atomic_load_n(row, __ATOMIC_RELAXED);
        if (likely(theirs == key))
            return row;
        if (theirs == 0 && (__atomic_compare_exchange_n(row, &theirs, key, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
                            theirs == key))
            return row;
    }
    return NULL;
}

/* ---- making the call ---- */

typedef int short_call(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                       uintptr_t, uintptr_t);
typedef int long_call(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                      uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                      uintptr_t, uintptr_t, uintptr_t, uintptr_t);

enum { SHORT_WORDS = 10, ID_WORDS = 16 };

/* A unique id on the stack, or many arguments. */
__attribute__((noinline)) static int call_long(void *address, const uintptr_t *w, const uintptr_t *stack) {
    long_call *function = NCR_FUNCTION(long_call, address);
    return function(w[0], w[1], w[2], w[3], w[4], w[5], stack[0], stack[1], stack[2], stack[3], stack[4], stack[5],
                    stack[6], stack[7], stack[8], stack[9], stack[10], stack[11], stack[12], stack[13], stack[14],
                    stack[15]);
}

FAST int call_below(void *address, unsigned words, const uintptr_t *w, const uintptr_t *stack) {
#if defined(__x86_64__)
    if (words > SHORT_WORDS)
        return call_long(address, w, stack);
#else
    (void)words;
    (void)stack;
    (void)call_long;
#endif
    return NCR_FUNCTION(short_call, address)(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9]);
}

/* How many words the call has: no more of the stack is read, behind them it may end. */
FAST unsigned words_of(unsigned function) {
#if defined(__x86_64__)
    if (function == TRACE_ncclCommInitRank || function == TRACE_ncclCommInitRankConfig)
        return NCR_RECORD_REGISTERS + ID_WORDS;
#endif
    return calls[function].words;
}

/* ---- numbers ---- */

/* Of a message between two ranks, in one direction; 0 with a flag if there is no room for the pair. */
__attribute__((noinline)) static uint64_t message_number(unsigned comm, unsigned function, int32_t peer,
                                                         unsigned *flags) {
    struct trace_peer *row = keyed_row(ncr_recorder.peers, 5, TRACE_PEERS, TRACE_PEER_KEY(comm, peer));
    ncr_recorder.comms[comm].messages++;
    if (!row) {
        *flags |= TRACE_UNNUMBERED;
        return 0;
    }
    return function == TRACE_ncclSend ? ++row->sends : ++row->receives;
}

FAST uint8_t operator_of(unsigned op) {
    return op <= TRACE_AVG || op == TRACE_NO_OPERATOR ? (uint8_t)op : TRACE_CUSTOM;
}

/* ---- in ---- */

/*
 * Is this call to be recorded? Not if it comes from inside of another one, that is from the backend itself, or if there
 * is no place for it. A stack that is above that of the call we were inside of says that one was left without returning,
 * by longjmp or an exception.
 */
__attribute__((noinline)) static bool may_begin(struct ncr_recording *here, const void *frame) {
    if (here->frame && (uintptr_t)frame <= (uintptr_t)here->frame)
        return false;
    uint32_t generation = atomic_load_explicit(&ncr_recorder.generation, memory_order_relaxed);
    if (!generation || here->generation != generation)
        ncr_record_attach();
    if (!here->row)
        ncr_record_leave_out();
    return here->row != NULL;
}

/*
 * A record is stored as words, because the bytes of one could not be read back as a word without waiting for the stores. What
 * the call is told of stands in the thread's row until it has returned, not in registers that would be saved meanwhile.
 */
typedef uint64_t __attribute__((may_alias)) word;
#define WORD_AT(record, offset) (*(word *)(void *)((char *)(record) + (offset)))
enum { GROUP_AT = offsetof(struct trace_record, group), WHAT_AT = offsetof(struct trace_record, comm) };
_Static_assert(offsetof(struct trace_record, peer) == GROUP_AT + 4 &&
                   offsetof(struct trace_record, function) == WHAT_AT + 2 &&
                   offsetof(struct trace_record, type) == WHAT_AT + 3 &&
                   offsetof(struct trace_record, op) == WHAT_AT + 4 &&
                   offsetof(struct trace_record, result) == WHAT_AT + 5 &&
                   offsetof(struct trace_record, caller) == WHAT_AT + 6 &&
                   offsetof(struct trace_record, flags) == WHAT_AT + 7,
               "the words that enter() builds");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "likewise");

FAST void enter(struct ncr_recording *here, unsigned function, const uintptr_t *w, int comm, const void *caller,
                const void *frame) {
    const __typeof__(*calls) *at = &calls[function];
    struct trace_thread *row = here->row;
    struct trace_record *record = &row->inside;
    unsigned flags = ncr_record_flags[function] | (row->depth ? TRACE_IN_GROUP : 0), from = here->caller;
    uint32_t group = row->depth || function == TRACE_ncclGroupEnd ? row->group : 0;
    uint64_t call = 0;
    here->frame = frame;
    ncr_call.program = caller;
    record->leave = 0;
    record->count = w[at->count];
    record->stream = w[at->stream];
    WORD_AT(record, GROUP_AT) = group | (uint64_t)w[at->peer] << 32;
    if (!likely((uintptr_t)caller - here->caller_start < here->caller_size))
        from = ncr_record_caller((uintptr_t)caller);
    if (likely(comm != TRACE_NO_COMM)) {
        struct trace_comm *of = &ncr_recorder.comms[comm];
        flags |= of->flags;
        if (likely(at->class == COLLECTIVE) || function == TRACE_ncclCommSplit)
            call = ++of->collectives;
        else if (at->class == MESSAGE && w[at->count])
            call = message_number((unsigned)comm, function, (int32_t)w[at->peer], &flags);
    }
    record->call = call;
    if (likely(at->class <= ONESIDED))
        flags |= ncr_record_capture_flags((ncr_stream)w[at->stream]);
    WORD_AT(record, WHAT_AT) = (uint16_t)comm | (uint64_t)function << 16 | (uint64_t)(uint8_t)w[at->type] << 24 |
                               (uint64_t)operator_of((unsigned)w[at->op]) << 32 | (uint64_t)from << 48 |
                               (uint64_t)flags << 56;
    record->enter = ticks();
    publish(&record->sequence, (uint64_t)here->index << 48 | (row->written + 1));
}

/* ---- out ---- */

/* The row of the totals for calls like this one, and the row of the next such call. */
__attribute__((noinline)) static struct trace_total *find_total(struct ncr_recording *here, uint64_t like) {
    uint32_t what = (uint32_t)like, class = (uint32_t)(like >> 32) - 1;
    uint64_t key = TRACE_TOTAL_KEY((uint16_t)what, (uint8_t)(what >> 16), (uint8_t)(what >> 24), class, here->index);
    struct trace_total *total = keyed_row(ncr_recorder.totals, 5, TRACE_TOTALS, key);
    here->total = total;
    here->like = total ? like : 0;
    return total;
}

FAST void count(struct ncr_recording *here, uint64_t what, uint64_t elements, uint64_t spent) {
    uint64_t bytes = elements * type_sizes[(uint8_t)(what >> 24)];
    unsigned class = TRACE_SIZE_CLASS(bytes);
    uint64_t like = (uint32_t)what | (uint64_t)(class + 1) << 32; /* never 0 */
    struct trace_total *total = likely(here->like == like) ? here->total : find_total(here, like);
    if (likely(total)) {
        total->calls++;
        total->bytes += bytes;
        total->ticks += spent;
    } else {
        __atomic_fetch_add(&ncr_recorder.header->totals_left_out_calls, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&ncr_recorder.header->totals_left_out_bytes, bytes, __ATOMIC_RELAXED);
    }
}

static void change_group(struct trace_thread *row, const struct trace_record *record, int result) {
    if (record->function == TRACE_ncclGroupStart) {
        if (row->depth++ == 0) {
            row->group++;
            row->group_since = record->enter;
        }
    } else if (row->depth && --row->depth == 0) {
        ncr_record_settle(result);
    }
}

FAST void leave(struct ncr_recording *here, unsigned class, int result) {
    uint64_t now = ticks();
    here->frame = NULL;
    ncr_call.program = NULL;
    if (!likely(here->generation == atomic_load_explicit(&ncr_recorder.generation, memory_order_relaxed)))
        return; /* forked meanwhile: the record is the parent's */
    struct trace_thread *row = here->row;
    struct trace_record *inside = &row->inside;
    uint64_t what = WORD_AT(inside, WHAT_AT);
    count(here, what, inside->count, now - inside->enter);
    if (likely(here->left) || ncr_record_take_block()) {
        struct trace_record *record = here->next++;
        here->left--;
        publish(&record->sequence, 0);
        order_writes();
        record->enter = inside->enter;
        record->leave = now;
        record->count = inside->count;
        record->stream = inside->stream;
        record->call = inside->call;
        WORD_AT(record, GROUP_AT) = WORD_AT(inside, GROUP_AT);
        WORD_AT(record, WHAT_AT) = what | (uint64_t)(uint8_t)result << 40;
        publish(&record->sequence, inside->sequence);
        row->written++;
    } else {
        ncr_record_leave_out();
    }
    publish(&inside->sequence, 0);
    order_writes();
    if (!likely(class != GROUP))
        change_group(row, inside, result);
}

/* ---- the call ---- */

/* From inside of another call, or without a record: handed on. Who asks for its caller gets the true one. */
__attribute__((noinline)) static int call_unrecorded(unsigned function, void *below, const uintptr_t *w,
                                                     const uintptr_t *stack, const void *caller) {
    const void *before = ncr_call.program;
    ncr_call.program = caller;
    int result = call_below(below, words_of(function), w, stack);
    ncr_call.program = before;
    return result;
}

/*
 * Calls that make or end communicators, in three parts around the record: before it, a new communicator gets its row, so
 * that the record can name it; before the call, one that ends loses its handle, whose address may be used again as soon as
 * it is freed; after the call, handles are there.
 */
__attribute__((noinline)) static int prepare(unsigned function, const uintptr_t *w, const uintptr_t *stack,
                                             struct ncr_creation *creation, int row) {
    creation->count = 0;
    if (calls[function].class == CREATE)
        ncr_record_creating(function, w, stack, creation, row);
    return row == TRACE_NO_COMM && creation->count ? creation->rows[0] : row;
}

__attribute__((noinline)) static void let_go(unsigned function, const uintptr_t *w, struct ncr_creation *creation,
                                             int row) {
    if (function == TRACE_ncclCommDestroy || function == TRACE_ncclCommAbort)
        ncr_record_forget_handle((const void *)w[0]);
    else if (function == TRACE_ncclCommSplit)
        ncr_record_splitting(creation, row);
}

__attribute__((noinline)) static void conclude(unsigned function, const uintptr_t *w,
                                               const struct ncr_creation *creation, int row, int result) {
    if (calls[function].class == END)
        ncr_record_end_comm(row, (const void *)w[0], function, result);
    else
        ncr_record_created(creation, result);
}

/* The word behind the saved frame: where the program goes on. */
FAST const void *return_address(const uintptr_t *w, const uintptr_t *stack) {
#if defined(__x86_64__)
    (void)w;
    return (const void *)stack[-1];
#else
    (void)stack;
    return (const void *)w[-1];
#endif
}

/** Called from traced_*.S with the argument registers in the first of WORDS words. */
int ncr_record_call(unsigned stub, uintptr_t *w, const uintptr_t *stack) {
    unsigned function = stub / 2 + 1;
    const __typeof__(*calls) *at = &calls[function];
    struct ncr_recording *here = &ncr_recording;
    void *below = atomic_load_explicit(&ncr_record_below[2 * at->row + (stub & 1)], memory_order_relaxed);
    const void *caller = return_address(w, stack);
    for (unsigned i = NCR_RECORD_REGISTERS; i < at->words; i++)
        w[i] = stack[i - NCR_RECORD_REGISTERS];
    w[NO_COUNT] = 0;
    w[NO_TYPE] = TRACE_NO_TYPE;
    w[NO_PEER] = (uintptr_t)TRACE_NO_PEER;
    uint32_t generation = atomic_load_explicit(&ncr_recorder.generation, memory_order_relaxed);
    if (!likely(!here->frame && here->row && here->generation == generation) && !may_begin(here, stack))
        return call_unrecorded(function, below, w, stack, caller);
    bool plain = at->class != CREATE && at->class != END;
    struct ncr_creation creation;
    int row = ncr_record_row((const void *)w[at->comm]);
    enter(here, function, w, likely(plain) ? row : prepare(function, w, stack, &creation, row), caller, stack);
    if (!likely(plain))
        let_go(function, w, &creation, row);
    int result = call_below(below, likely(plain) ? at->words : words_of(function), w, stack);
    if (!likely(plain))
        conclude(function, w, &creation, row, result);
    leave(here, at->class, result);
    return result;
}

/** The number of the function in this row of the ABI's table, 0 if its calls are not recorded. */
unsigned ncr_record_function(unsigned row) {
    for (unsigned i = 1; i < TRACE_FUNCTIONS; i++)
        if (calls[i].row == row)
            return i;
    return TRACE_NO_FUNCTION;
}
