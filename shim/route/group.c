/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups across libraries. The depth is kept here; a library's own group starts with its first call inside, and the
 * outermost end ends them in an order that is the same on all ranks (ncclGroupEnd may wait for the other ranks).
 */
#include "route.h"

#include <string.h>

__thread struct ncr_group ncr_group;

static atomic_bool all_settled; /* routing began before the first call */

typedef int group_function(void);

static int call(const struct ncr_library *library, unsigned row) {
    return NCR_FUNCTION(group_function, library->targets[2 * row])();
}

int ncr_group_start(void) {
    if (ncr_group.depth++ == 0)
        ncr_call.group_refused = false;
    return NCR_SUCCESS;
}

/** Names this thread's open group; NULL if there is none. */
const void *ncr_group_of_thread(void) {
    return ncr_group.depth > 0 ? &ncr_group : NULL;
}

/** A call goes to this library: if the thread is in a group, the library joins it. */
void ncr_group_join(struct ncr_library *library) {
    unsigned bit = 1u << library->index;
    if (ncr_group.depth == 0 || (ncr_group.joined & bit) || !library->backend.handle)
        return;
    ncr_group.joined |= bit;
    call(library, NCR_ROW_ncclGroupStart);
}

/** No group of this thread, or of any thread, is older than routing. */
void ncr_group_settle(bool all) {
    ncr_group.settled = true;
    if (all)
        atomic_store(&all_settled, true);
}

/** This thread may be in a group that began before routing. */
bool ncr_group_may_be_older(void) {
    return ncr_group.depth == 0 && !ncr_group.settled && !atomic_load(&all_settled);
}

/* The same on all ranks: versions and files are, indices need not be. */
static bool ends_before(struct ncr_library *a, struct ncr_library *b) {
    if (a->backend.version != b->backend.version)
        return a->backend.version < b->backend.version;
    int order = strcmp(ncr_build_id(a), ncr_build_id(b));
    return order ? order < 0 : strcmp(a->backend.path, b->backend.path) < 0;
}

static struct ncr_library *next_to_end(void) {
    struct ncr_library *next = NULL;
    for (unsigned i = 0; i < ncr_library_count(); i++)
        if ((ncr_group.joined & (1u << i)) && (!next || ends_before(ncr_library_at(i), next)))
            next = ncr_library_at(i);
    if (next)
        ncr_group.joined &= ~(1u << next->index);
    return next;
}

static bool is_error(int code) {
    return code != NCR_SUCCESS && code != NCR_IN_PROGRESS;
}

/*
 * A library's part of the group has ended. The first real error, else ncclInProgress, else success; a later question
 * about an error is about the library that failed.
 */
static void join_code(int *code, int more, const struct ncr_library *library) {
    ncr_pending_group_ended(&ncr_group, library, more);
    if (is_error(*code) || more == NCR_SUCCESS)
        return;
    *code = more;
    ncr_set_called_library(library);
}

/*
 * The end of a group that began before routing, while another thread opened the second library: it is the default
 * library's. A thread without an open group gets the error here, or, the first time, from that library (NCCL checks
 * since 2.7.3).
 */
static bool may_be_older(const char *function) {
    struct ncr_library *library = ncr_library_at(0);
    ncr_set_called_library(library);
    if (ncr_group_may_be_older() && library->backend.handle && library->backend.version >= 20703)
        return true;
    ncr_fail(NCR_INVALID_USAGE, "%s: no group is open in this thread; a group must not contain nccl_redirect_use()",
             function);
    return false;
}

static int settle(int code) {
    ncr_group.settled = is_error(code);
    ncr_pending_look();
    return code;
}

/** ncclGroupEnd. After one library's error the others launch nothing. */
int ncr_group_end(void) {
    int code = NCR_SUCCESS;
    if (ncr_group.depth == 0)
        return may_be_older("ncclGroupEnd") ? settle(call(ncr_library_at(0), NCR_ROW_ncclGroupEnd)) : NCR_INVALID_USAGE;
    if (--ncr_group.depth > 0)
        return NCR_SUCCESS;
    for (struct ncr_library *library; (library = next_to_end());) {
        if (is_error(code) || ncr_call.group_refused)
            ncr_poison_group(library);
        join_code(&code, call(library, NCR_ROW_ncclGroupEnd), library);
    }
    ncr_call.group_refused = false;
    return code;
}

/* What ncclGroupSimulateEnd gets; the same in all versions. */
struct simulation {
    struct ncr_versioned head;
    float seconds; /* estimatedTime */
};

static int simulate(struct ncr_library *library, struct simulation *info) {
    typedef int simulate_end(struct simulation *);
    simulate_end *own = NCR_FUNCTION(simulate_end, library->targets[2 * NCR_ROW_ncclGroupSimulateEnd]);
    if (own)
        return own(info);
    int code = ncr_refuse_lacking(library, "ncclGroupSimulateEnd", "", 22203);
    call(library, NCR_ROW_ncclGroupEnd); /* poisoned: closes the group and launches nothing */
    return code;
}

/** ncclGroupSimulateEnd: closes the group; the largest estimate of all libraries with a call in it. */
int ncr_group_simulate_end(void *info) {
    struct simulation *given = info;
    int code = NCR_SUCCESS;
    float largest = 0;
    if (ncr_group.depth == 0)
        return may_be_older("ncclGroupSimulateEnd") ? settle(simulate(ncr_library_at(0), info)) : NCR_INVALID_USAGE;
    if (--ncr_group.depth > 0)
        return NCR_SUCCESS;
    for (struct ncr_library *library; (library = next_to_end());) {
        join_code(&code, simulate(library, given), library);
        if (given && code == NCR_SUCCESS && given->seconds > largest)
            largest = given->seconds;
    }
    if (given && code == NCR_SUCCESS)
        given->seconds = largest;
    ncr_call.group_refused = false;
    return code;
}
