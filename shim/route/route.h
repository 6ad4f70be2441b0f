/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer for several NCCLs in one process: calls go to the library that made the communicator, window or memory. Off until a
 * second library is chosen (nccl_redirect_use(), a rule); from then on the slots lead through routed stubs
 * (shim/entry_*.S) to ncr_route(). From then on every handle is remembered; one that is older belongs to the process's
 * default.
 */
#ifndef NCR_ROUTE_H
#define NCR_ROUTE_H

#include "layer.h"

/* ---- pending.c: handles that NCCL writes, now or later ---- */

enum ncr_kind { NCR_COMMUNICATORS, NCR_WINDOWS, NCR_MEMORIES, NCR_KINDS };

/* A call that makes a handle, while it runs. */
struct ncr_making {
    struct ncr_library *library;
    enum ncr_kind kind;
    const void *parent;          /* the communicator that it is made of, or NULL */
    struct ncr_pending *pending; /* NULL: NCCL writes it to the program's variable */
    void **direct;               /* that variable, if the handle is remembered when the call returns */
    bool no_memory;              /* to remember it */
};

/*
 * A call that makes a handle, after ncr_expect(). If there is no memory to record the handle's library, the call is not
 * made: the handle would later be taken for the default library's.
 */
#define NCR_MAKE(making, call) ((making)->no_memory ? ncr_refuse_making(making) : ncr_made((making), (call)))

void **ncr_expect(struct ncr_making *making, void **handle);
void **ncr_expect_several(struct ncr_making *making, void **handles, int count);
int ncr_made(struct ncr_making *making, int code);
int ncr_refuse_making(const struct ncr_making *making);
void ncr_pending_look(void);
void ncr_pending_reported(const void *communicator, int state);
void ncr_pending_destroying(enum ncr_kind kind, const void *handle);
void ncr_pending_destroyed(int code);
void ncr_pending_group_ended(const void *group, const struct ncr_library *library, int code);

/* ---- owners.c: which library made this handle; owners.h has the question ---- */

void ncr_own_again(enum ncr_kind kind, const void *handle, struct ncr_library *library);
void ncr_disown(enum ncr_kind kind, const void *handle);

/* ---- watch.c ---- */

void ncr_watch_prepare(void);
void ncr_watch_pending(void);

/* ---- open.c ---- */

struct ncr_library *ncr_library_open(enum ncr_choice choice, const char *path, const char *decided_by,
                                     struct ncr_text *why);

/* ---- choice.c: who chooses among them ---- */

void ncr_choose_library(struct ncr_library *library);
struct ncr_library *ncr_library_for_caller(const void *caller);
struct ncr_library *ncr_chosen_library(void);
struct ncr_library *ncr_library_to_create(const void *caller, const void *config);
void ncr_enter(struct ncr_library *library);

/* ---- encryption.c ---- */

bool ncr_encryption_is_set(void);
int ncr_set_encryption(const void *config);

/* ---- rules.c: NCCL_REDIRECT_RULES ---- */

bool ncr_rule_for_caller(const void *address, struct ncr_library **library);
bool ncr_rule_for_name(const void *config, struct ncr_library **library);
struct ncr_library *ncr_rule_alternative(const struct ncr_library *library);
bool ncr_rule_for_file(const char *file, struct ncr_library **library);
bool ncr_rules_about_communicators(void);

/* ---- group.c: ncclGroupStart and ncclGroupEnd across libraries ---- */

/* Of the calling thread. Initial-exec: a preloaded library has its thread-local storage from the start. */
struct ncr_group {
    unsigned depth;
    unsigned joined; /* bit i: library i has a group open */
    bool settled;    /* no group of this thread is older than routing, see may_be_older() */
};

extern __thread struct ncr_group ncr_group;

int ncr_group_start(void);
int ncr_group_end(void);
int ncr_group_simulate_end(void *info);
void ncr_group_join(struct ncr_library *library);
void ncr_group_settle(bool all);
const void *ncr_group_of_thread(void);
bool ncr_group_may_be_older(void);

/* ---- maker.c: rows that make something and have no function of their own ---- */

#if defined(__x86_64__)
enum { NCR_ARGUMENT_REGISTERS = 6 };
#elif defined(__aarch64__)
enum { NCR_ARGUMENT_REGISTERS = 8 };
#endif

void *ncr_call_maker(unsigned slot, struct ncr_library *library, const void *parent, const uintptr_t *registers,
                     const uintptr_t *stack);
void *ncr_answer_with(int code);

/* ---- create.c: what makes communicators ---- */

void *ncr_route_create(unsigned row);

/* ---- route.c: where a call goes ---- */

void *ncr_route(unsigned slot, const uintptr_t *registers, const uintptr_t *stack);
struct ncr_library *ncr_library_of(const void *communicator);
bool ncr_routing(void);
void ncr_route_all(bool at_first);

#endif
