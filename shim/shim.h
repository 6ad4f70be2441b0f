/*
 * What the program sees: trampolines through slots (entry_*.S), the binding that fills them (binding.c), answers of
 * functions that have no backend (answers.c), the dlopen hook (hook.c), the search for a second NCCL (second.c) and the
 * constructor (start.c). Where libraries lie is known to the loader alone.
 */
#ifndef NCR_SHIM_H
#define NCR_SHIM_H

#include "loader.h"

#include <stdatomic.h>

/* ---- entry_*.S ---- */

/* Two slots per row of the table: 2 * row is the function, 2 * row + 1 its twin. */
extern _Atomic(void *) ncr_slots[2 * NCR_ROWS];
extern const char ncr_trampolines_start[], ncr_unbound_end[];

/* ---- library.c ---- */

struct ncr_library {
    struct ncr_backend backend;
    void *targets[2 * NCR_ROWS];             /* its own function for each slot, NULL where it has none */
    void *entries[2 * NCR_ROWS];             /* what the slot gets: that function, a bridge in its place, or NULL */
    uintptr_t start, end;                    /* its code and data */
    unsigned index;                          /* 0: the process's default */
    atomic_bool open;                        /* stored last: the rest above is filled, and stays as it is */
    _Atomic(const char *) build_id, missing; /* of nccl_redirect_info(), made when asked for */
};

void ncr_library_fill(struct ncr_library *library);
bool ncr_library_is_open(const struct ncr_library *library);
void ncr_slots_barrier(void);
void *ncr_library_function(void *handle, unsigned slot);

/* ---- lock.c ---- */

typedef void ncr_locked(const void *arg);

typedef void ncr_fork_handler(void);

struct ncr_mutex {
    _Atomic int word; /* 0 free, 1 held, 2 held and waited for */
};

void ncr_mutex_lock(struct ncr_mutex *mutex);
void ncr_mutex_unlock(struct ncr_mutex *mutex);
bool ncr_lock_is_mine(void);
void ncr_at_fork(ncr_fork_handler *before, ncr_fork_handler *after);
void ncr_locked_run(ncr_locked *code, const void *arg);

/* ---- binding.c ---- */

enum ncr_state {
    NCR_UNBOUND,
    NCR_BOUND,
    NCR_DISABLED /* nothing could be opened; a dlopen of a named file may still bind */
};

extern const bool ncr_for_rccl; /* this is librccl_redirect.so, which looks for a RCCL first */
const struct ncr_config *ncr_settings(void);
enum ncr_state ncr_bind(const char *requested);
enum ncr_state ncr_state(void);
const struct ncr_backend *ncr_backend(void);
const char *ncr_disabled(void);
bool ncr_disabled_is_reported(void);
bool ncr_in_backend(const void *address);
bool ncr_bound_at_start(void);
void *ncr_first_use(unsigned slot);

/* ---- route/: the library that a call belongs to ---- */

enum ncr_kind { NCR_COMMUNICATORS, NCR_WINDOWS, NCR_MEMORIES, NCR_KINDS };

struct ncr_library *ncr_library_at(unsigned index);
struct ncr_library *ncr_library_of(const void *communicator);
struct ncr_library *ncr_library_to_create(const void *caller, const void *config, bool *named);
struct ncr_library *ncr_library_to_extend(const void *communicator);
struct ncr_library *ncr_chosen_library(void);
struct ncr_library *ncr_last_library(void);
unsigned ncr_library_count(void);
void ncr_set_last_library(const struct ncr_library *library);
bool ncr_library_wanted_for_file(const char *file, struct ncr_library **library);

/* A call that makes a handle, while it runs: route/pending.c. */
struct ncr_making {
    struct ncr_library *library;
    enum ncr_kind kind;
    const void *parent;          /* the communicator that it is made of, or NULL */
    struct ncr_pending *pending; /* NULL: NCCL writes it to the program's variable */
    void **direct;               /* that variable, if the handle is remembered when the call returns */
};

void **ncr_expect(struct ncr_making *making, void **handle);
void **ncr_expect_several(struct ncr_making *making, void **handles, int count);
int ncr_made(struct ncr_making *making, int code);

bool ncr_routing(void);
void ncr_route_all(bool at_first);
bool ncr_rules_about_communicators(void);
void ncr_group_spoil(void);

/* ---- answers.c ---- */

/* Large enough, and in the right registers, for every result class of the table. */
struct ncr_answer {
    uint64_t low, high;
};

struct ncr_answer ncr_answer(unsigned slot);
const char *ncr_tell_disabled(void);

/* ---- errors.c ---- */

const char *ncr_last_error(const void *communicator);
void ncr_set_error(const struct ncr_library *library, const char *text);
void ncr_text_add_needs(struct ncr_text *text, const struct ncr_backend *backend, const char *function, const char *how,
                        int since);
void ncr_poison_group(const struct ncr_library *library);
int ncr_fail_group(const struct ncr_library *library, int code);
int ncr_fail(int code, const char *format, ...) NCR_PRINTF(2, 3);
int ncr_refuse(const struct ncr_library *library, const char *format, ...) NCR_PRINTF(2, 3);
int ncr_refuse_lacking(const struct ncr_library *library, const char *function, const char *how, int since);

/* ---- hook.c ---- */

struct ncr_dlopen_answer {
    void *handle; /* the answer, if `jump` is NULL */
    void *jump;   /* the real dlopen, to go on with the same arguments */
};

struct ncr_dlopen_answer ncr_on_dlopen(const char *file, int mode, const void *caller);
ncr_dlopen *ncr_real_dlopen(void);
void ncr_find_self(void);
void *ncr_open_self(int mode);
bool ncr_backend_wraps(void);

/* ---- second.c ---- */

void ncr_look_for_second(void);

#endif
