/* SPDX-License-Identifier: Apache-2.0 */
/* Which library a call that creates something goes to, and what is recorded about it. */
#include "owners.h"

static __thread struct ncr_library *chosen;

/** What the calling thread has chosen, else the default. */
struct ncr_library *ncr_chosen_library(void) {
    return chosen ? chosen : ncr_library_at(0);
}

/** NULL is the default. */
void ncr_choose_library(struct ncr_library *library) {
    chosen = library;
    if (library && library->index > 0)
        ncr_route_all(false);
}

/**
 * What the next unique id or communicator of this thread uses: its choice, else that of a rule about the caller (the
 * program's return address), else the default. NULL if a rule cannot be satisfied; then the error is set.
 */
struct ncr_library *ncr_library_for_caller(const void *caller) {
    struct ncr_library *library = ncr_chosen_library();
    if (!chosen)
        ncr_rule_for_caller(ncr_call_from(caller), &library);
    return library;
}

/**
 * A call goes to this library: a later question of the thread about an error is about it, and it joins the thread's
 * open group.
 */
void ncr_enter(struct ncr_library *library) {
    ncr_set_called_library(library);
    ncr_group_join(library);
}

/**
 * The library that makes the next unique id or communicator; see above. A rule about the communicator's name comes
 * before one about the caller; then ncr_call.by_name is true if it leads elsewhere. `config` is an ncclConfig_t or NULL.
 * NULL if there is no library; then the error is set.
 */
struct ncr_library *ncr_library_to_create(const void *caller, const void *config) {
    struct ncr_library *library = ncr_library_for_caller(caller), *by_name;
    ncr_call.by_name = false;
    if (!chosen && ncr_rule_for_name(config, &by_name)) {
        ncr_call.by_name = by_name != library;
        library = by_name;
    }
    if (library && !library->backend.handle) {
        ncr_set_called_library(library);
        ncr_set_error(library, ncr_tell_disabled());
        library = NULL;
    }
    if (library)
        ncr_enter(library);
    return library;
}
