/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The preload's core: what the program calls (entry_*.S) and where that leads. Nothing here knows a layer by name; what
 * may stand between the program and a library is in layer.h. Where libraries lie is known to the loader alone.
 *
 * The life of a call: trampoline -> slot -> the library's function, or the layers that are on. The life of a decision:
 * start.c, hook.c or the first call -> binding.c -> loader/ -> libraries.c -> slots.c.
 */
#ifndef NCR_SHIM_H
#define NCR_SHIM_H

#include "abi/types.h"
#include "loader.h"

#include <stdatomic.h>

/* ---- entry_*.S ---- */

/* Two slots per row of the table: 2 * row is the function, 2 * row + 1 its profiling alias. */
extern _Atomic(void *) ncr_slots[2 * NCR_ROWS];
extern const char ncr_trampolines_start[], ncr_unbound_end[];

/* ---- mutex.c ---- */

struct ncr_mutex {
    _Atomic int word; /* 0 free, 1 held, 2 held and waited for */
};

void ncr_mutex_lock(struct ncr_mutex *mutex);
void ncr_mutex_unlock(struct ncr_mutex *mutex);

/* ---- gate.c: who binds now ---- */

struct ncr_gate {
    int cancelable; /* the thread's state of cancellation before */
};

typedef void ncr_fork_handler(void);

bool ncr_is_binding(void);
bool ncr_somebody_binds(void);
void ncr_at_fork(_Atomic unsigned *once, ncr_fork_handler *before, ncr_fork_handler *in_parent,
                 ncr_fork_handler *in_child);
void ncr_gate_enter(struct ncr_gate *gate);
void ncr_gate_leave(struct ncr_gate *gate);

/* ---- libraries.c: the opened libraries ---- */

enum {
    NCR_MOST_LIBRARIES = 16,
    NCR_MOST_WRAPPED = 8 /* functions of a library that one layer wraps */
};

struct ncr_library {
    struct ncr_backend backend;
    void *targets[2 * NCR_ROWS];     /* its own function for each slot, NULL where it has none */
    void *entries[2 * NCR_ROWS];     /* what the layers that look at one library put in front of it, or NULL */
    void *wrapped[NCR_MOST_WRAPPED]; /* for the layer that wraps functions: what lies below, by its own numbers */
    uintptr_t start, end;            /* its code and data */
    unsigned index;                  /* 0: the process's default */
    _Atomic(const char *) missing;   /* of nccl_redirect_info(), made when asked for */
};

/* The library's own function, and what the program would reach: that of a layer, where there is one. */
#define NCR_TARGET(library, name) NCR_FUNCTION(ncr_fn_##name, (library)->targets[2 * NCR_ROW_##name])
#define NCR_ENTRY(library, name) NCR_FUNCTION(ncr_fn_##name, (library)->entries[2 * NCR_ROW_##name])

unsigned ncr_library_count(void);
struct ncr_library *ncr_library_at(unsigned index);
void *ncr_library_function(void *handle, unsigned slot);
struct ncr_library *ncr_library_new(void);
void ncr_library_fill(struct ncr_library *library, const struct ncr_backend *backend);
void ncr_library_free(struct ncr_library *library);
void ncr_library_set_default(struct ncr_library *library);
struct ncr_library *ncr_library_with(const void *handle);
struct ncr_library *ncr_library_add(struct ncr_library *library);
bool ncr_in_backend(const void *address);
const char *ncr_build_id(const struct ncr_library *library);

/* ---- call.c: the call that a thread makes ---- */

struct ncr_call {
    const void *program;             /* where the program called from, while a layer above calls; NULL: none does */
    struct ncr_library *library;     /* that it goes to, and whose error is asked about next; NULL: the default */
    struct ncr_library *alternative; /* ncclGetUniqueId: the id shall also work for this one; or NULL */
    bool by_name;                    /* creating a communicator: its name led to `library` */
    bool group_refused;              /* a call of the open group was refused: nothing of it may be launched */
};

extern __thread struct ncr_call ncr_call;

const void *ncr_call_from(const void *return_address);
struct ncr_library *ncr_called_library(void);
void ncr_set_called_library(const struct ncr_library *library);

/* ---- slots.c ---- */

void ncr_publish_slots(void);
void ncr_publish_slot(unsigned slot);
void *ncr_slot_address(unsigned slot);

/* ---- ending.c: the process ends ---- */

void ncr_at_end_of(void *handle);

/* ---- binding.c ---- */

enum ncr_state {
    NCR_UNBOUND,
    NCR_DISABLED, /* nothing could be opened; a dlopen of a named file may still bind */
    NCR_BOUND
};

extern const bool ncr_for_rccl; /* this is librccl_redirect.so, which looks for an RCCL first */

enum ncr_state ncr_bind(const struct ncr_request *request);
enum ncr_state ncr_state(void);
enum ncr_state ncr_state_to_ask(void);
const struct ncr_config *ncr_settings(void);
const struct ncr_backend *ncr_backend(void);
const char *ncr_disabled(bool *reported);
bool ncr_disabled_for_now(void);
void ncr_bind_at_start(void);
bool ncr_bound_at_start(void);
void *ncr_open_backend(const char *file, int mode);
const char *ncr_opening(void);
void *ncr_first_use(unsigned slot);

/* ---- answers.c ---- */

/* Large enough, and in the right registers, for every result class of the table. */
struct ncr_answer {
    uint64_t low, high;
};

struct ncr_answer ncr_answer(unsigned slot);
const char *ncr_tell_disabled(void);
int ncr_answer_lacking(const struct ncr_library *library, unsigned row);

/* ---- kept.c ---- */

const char *ncr_keep(struct ncr_text *text);

/* ---- errors.c ---- */

const char *ncr_last_error(const void *communicator);
const char *ncr_last_error_of(struct ncr_library *library, const void *communicator);
void ncr_set_error(const struct ncr_library *library, const char *text);
void ncr_text_add_needs(struct ncr_text *text, const struct ncr_backend *backend, const char *function, const char *how,
                        int since);
void ncr_poison_group(const struct ncr_library *library);
int ncr_fail_group(const struct ncr_library *library, int code);
int ncr_fail(int code, const char *format, ...) NCR_PRINTF(2, 3);
int ncr_refuse(const struct ncr_library *library, const char *format, ...) NCR_PRINTF(2, 3);
int ncr_refuse_lacking(const struct ncr_library *library, const char *function, const char *how, int since);
int ncr_invalid(const struct ncr_library *library, const char *text);

/* ---- self.c: this preload in the loader's eyes ---- */

ncr_dlopen *ncr_real_dlopen(void);
void *ncr_open_self(int mode);

/* ---- hook.c ---- */

struct ncr_dlopen_answer {
    void *handle; /* the answer, if `jump` is NULL */
    void *jump;   /* the real dlopen, to go on with the same arguments */
};

struct ncr_dlopen_answer ncr_on_dlopen(const char *file, int mode, const void *caller);

/* ---- behind.c ---- */

bool ncr_backend_wraps(void);
void ncr_note_wrapping(void);
char *ncr_find_behind(const char *name, const void *caller, struct ncr_text *why);

/* ---- other_file.c ---- */

void ncr_note_other_file(const char *file);

/* ---- second.c ---- */

void ncr_look_for_second(void);

#endif
