/*
 * Groups across libraries. The depth is kept here; a library's own group starts with its first call inside, and the outermost end
 * ends them in an order that is the same on all ranks (ncclGroupEnd may wait for the other ranks).
 */
#include "route.h"

/* Per thread, as in NCCL itself. Initial-exec: a preloaded library has its thread-local storage from the start. */
static __thread struct {
    unsigned depth;
    unsigned joined; /* bit i: library i has a group open */
} thread __attribute__((tls_model("initial-exec")));

typedef int group_function(void);

static int call(const struct ncr_library *library, unsigned row) {
    union {
        void *address;
        group_function *function;
    } target = {library->targets[2 * row]};
    return target.function();
}

int ncr_group_start(void) {
    thread.depth++;
    return NCR_SUCCESS;
}

/** Names this thread's open group; NULL if there is none. */
const void *ncr_group_of_thread(void) {
    return thread.depth > 0 ? &thread : NULL;
}

/** A call for this library comes: if the thread is in a group, the library is too from now on. */
void ncr_group_join(struct ncr_library *library) {
    unsigned bit = 1u << library->index;
    if (thread.depth == 0 || (thread.joined & bit))
        return;
    thread.joined |= bit;
    call(library, NCR_ROW_ncclGroupStart);
}

/* Versions and kinds are equal on all ranks of a communicator, indices need not be. */
static bool ends_before(const struct ncr_library *a, const struct ncr_library *b) {
    if (a->backend.version != b->backend.version)
        return a->backend.version < b->backend.version;
    if (a->backend.rccl != b->backend.rccl)
        return b->backend.rccl;
    return a->index < b->index;
}

static struct ncr_library *next_to_end(void) {
    struct ncr_library *next = NULL;
    for (unsigned i = 0; i < ncr_library_count(); i++)
        if ((thread.joined & (1u << i)) && (!next || ends_before(ncr_library_at(i), next)))
            next = ncr_library_at(i);
    if (next)
        thread.joined &= ~(1u << next->index);
    return next;
}

static bool is_error(int code) {
    enum { IN_PROGRESS = 7 };
    return code != NCR_SUCCESS && code != IN_PROGRESS;
}

/* The first real error, else ncclInProgress, else success. */
static int join_codes(int first, int second) {
    return is_error(first) || second == NCR_SUCCESS ? first : second;
}

/* Without a group of ours: one that was opened before the second library was, or none. From 2.7.3 on NCCL tells them apart. */
static int end_foreign(void) {
    const struct ncr_library *library = ncr_library_at(0);
    if (library->targets[2 * NCR_ROW_ncclGroupEnd] && library->backend.version >= 20703)
        return call(library, NCR_ROW_ncclGroupEnd);
    return ncr_fail(NCR_INVALID_USAGE, "ncclGroupEnd: not in a group");
}

/** ncclGroupEnd. After one library's error the others launch nothing. */
int ncr_group_end(void) {
    int code = NCR_SUCCESS;
    if (thread.depth == 0)
        return end_foreign();
    if (--thread.depth > 0)
        return NCR_SUCCESS;
    for (struct ncr_library *library; (library = next_to_end());) {
        if (is_error(code))
            ncr_poison_group(library);
        code = join_codes(code, call(library, NCR_ROW_ncclGroupEnd));
    }
    ncr_settle_later(code == NCR_SUCCESS ? &thread : NULL);
    return code;
}

/** ncclGroupSimulateEnd: the largest estimate of all libraries with a call in the group. */
int ncr_group_simulate_end(void *info) {
    typedef int simulate(void *);
    struct {
        struct ncr_versioned head;
        float seconds; /* estimatedTime */
    } largest = {.seconds = 0}, *given = info;
    int code = NCR_SUCCESS;
    if (thread.depth == 0)
        return ncr_fail(NCR_INVALID_USAGE, "ncclGroupSimulateEnd: not in a group");
    if (--thread.depth > 0)
        return NCR_SUCCESS;
    for (struct ncr_library *library; (library = next_to_end());) {
        union {
            void *address;
            simulate *function;
        } target = {library->targets[2 * NCR_ROW_ncclGroupSimulateEnd]};
        if (!target.address) {
            int refused = ncr_refuse_lacking(library, "ncclGroupSimulateEnd", "", 22203);
            call(library, NCR_ROW_ncclGroupEnd); /* poisoned: closes the group and launches nothing */
            code = join_codes(code, refused);
            continue;
        }
        code = join_codes(code, target.function(info));
        if (given && given->seconds > largest.seconds)
            largest.seconds = given->seconds;
    }
    if (given && code == NCR_SUCCESS)
        given->seconds = largest.seconds;
    return code;
}
