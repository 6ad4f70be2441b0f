/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for whom. A call is pending when some ranks have made it and others, whom it takes, have not: a collective
 * with a lower count on some ranks, a message with one half, a communicator that not all have come to create. A rank
 * that has not made a call may itself wait in another one; following that leads to a rank that waits for nobody, the
 * root cause, or back to where it began.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PENDING = 65536 };

static struct trace_pending *add(struct trace_waits *waits, unsigned communicator, unsigned function, uint64_t call) {
    waits->list = trace_more(waits->list, waits->count, sizeof *waits->list);
    struct trace_pending *pending = &waits->list[waits->count++];
    *pending = (struct trace_pending){.communicator = communicator, .function = function, .call = call};
    return pending;
}

static void add_waiting(struct trace_pending *pending, unsigned member) {
    pending->waiting = trace_more(pending->waiting, pending->waiting_count, sizeof *pending->waiting);
    pending->waiting[pending->waiting_count++] = member;
}

static void add_missing(struct trace_pending *pending, unsigned member) {
    pending->missing = trace_more(pending->missing, pending->missing_count, sizeof *pending->missing);
    pending->missing[pending->missing_count++] = member;
}

/* Ranks of which there is no file; all numbers below the size that no member has. */
static void add_absent(struct trace_pending *pending, const struct trace_communicator *comm) {
    unsigned at = 0;
    for (int rank = 0; rank < comm->ranks; rank++) {
        while (at < comm->count && comm->members[at].rank >= 0 && comm->members[at].rank < rank)
            at++;
        if (at < comm->count && comm->members[at].rank == rank)
            continue;
        if (pending->absent_count < TRACE_MOST_ABSENT) {
            pending->absent = trace_more(pending->absent, pending->absent_count, sizeof *pending->absent);
            pending->absent[pending->absent_count] = rank;
        }
        pending->absent_count++;
    }
}

/** The newest record of that call in the tail of a file; NULL if it is not there. `call` 0: of any number. */
const struct trace_record *trace_find_record(const struct trace_file *file, unsigned row, unsigned function,
                                             uint64_t call, int peer) {
    for (unsigned i = file->tail_count; i-- > 0;) {
        const struct trace_record *record = &file->tail[i];
        bool same =
            function == TRACE_NO_FUNCTION ? trace_is_collective(record->function) : record->function == function;
        if (record->comm == row && same && (!call || record->call == call) &&
            (peer == TRACE_NO_PEER || record->peer == peer))
            return record;
    }
    return NULL;
}

/* Is a thread of the file inside of this call, or of the end of the group that launches it? */
static bool is_inside(const struct trace_file *file, const struct trace_record *record) {
    for (unsigned i = file->tail_count - file->inside_count; i < file->tail_count; i++) {
        const struct trace_record *inside = &file->tail[i];
        if (inside->sequence == record->sequence)
            return true;
        if (inside->function == TRACE_ncclGroupEnd && record->group && inside->group == record->group &&
            TRACE_THREAD_OF(inside->sequence) == TRACE_THREAD_OF(record->sequence))
            return true;
    }
    return false;
}

/* When the last of the waiting ones came, what it called, and whether all of them are inside. */
static void look_at_waiting(const struct trace_set *set, struct trace_pending *pending, unsigned function, int peer) {
    const struct trace_communicator *comm = &set->communicators[pending->communicator];
    pending->inside = true;
    for (unsigned i = 0; i < pending->waiting_count; i++) {
        const struct trace_member *member = &comm->members[pending->waiting[i]];
        const struct trace_file *file = set->files[member->file];
        const struct trace_record *record = trace_find_record(file, member->row, function, pending->call, peer);
        pending->inside &= record && is_inside(file, record);
        int64_t enter = record ? trace_time(file, record->enter) : 0;
        if (record && (!pending->record.sequence || enter > pending->since)) {
            pending->since = enter;
            pending->record = *record;
        }
    }
    if (pending->record.sequence && function == TRACE_NO_FUNCTION)
        pending->function = pending->record.function;
}

/* ---- collectives ---- */

static void find_collective(const struct trace_set *set, unsigned index, struct trace_waits *waits) {
    const struct trace_communicator *comm = &set->communicators[index];
    uint64_t least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < comm->count; i++) {
        least = comm->members[i].launched < least ? comm->members[i].launched : least;
        most = comm->members[i].launched > most ? comm->members[i].launched : most;
    }
    if (least >= most)
        return;
    struct trace_pending *pending = add(waits, index, TRACE_NO_FUNCTION, least + 1);
    pending->in_open_group = true;
    for (unsigned i = 0; i < comm->count; i++) {
        if (comm->members[i].launched > least)
            add_waiting(pending, i);
        else
            add_missing(pending, i);
        if (comm->members[i].launched == least)
            pending->in_open_group &= comm->members[i].called > least;
    }
    add_absent(pending, comm);
    look_at_waiting(set, pending, TRACE_NO_FUNCTION, TRACE_NO_PEER);
    const struct trace_instance *instance =
        trace_pages_item(&set->matching->collectives, index, 0, pending->call, false);
    if (!pending->function && instance && instance->seen)
        pending->function = instance->function;
}

/* ---- creation ---- */

static unsigned creating_function(const struct trace_comm *row) {
    static const unsigned functions[] = {TRACE_NO_FUNCTION,   TRACE_ncclCommInitRank, TRACE_ncclCommInitAll,
                                         TRACE_ncclCommSplit, TRACE_ncclCommShrink,   TRACE_ncclCommGrow};
    return row->origin < sizeof functions / sizeof *functions ? functions[row->origin] : TRACE_NO_FUNCTION;
}

/* A split has a number on the parent: the ranks that lack it are found there. */
static void find_creation(const struct trace_set *set, unsigned index, struct trace_waits *waits) {
    const struct trace_communicator *comm = &set->communicators[index];
    const struct trace_comm *first = trace_member_row(set, &comm->members[0]);
    if (comm->made || comm->ranks < 0 || comm->count >= (unsigned)comm->ranks || first->origin == TRACE_SPLIT ||
        first->origin == TRACE_UNSEEN || first->origin == TRACE_INIT_ALL)
        return;
    struct trace_pending *pending = NULL;
    for (unsigned i = 0; i < comm->count; i++) {
        const struct trace_comm *row = trace_member_row(set, &comm->members[i]);
        if (row->ending != TRACE_OPEN)
            continue;
        if (!pending)
            pending = add(waits, index, creating_function(row), 0);
        pending->inside = pending->waiting_count ? pending->inside && !row->leave : !row->leave;
        add_waiting(pending, i);
        int64_t enter = trace_time(set->files[comm->members[i].file], row->enter);
        pending->since = enter > pending->since ? enter : pending->since;
    }
    if (pending)
        add_absent(pending, comm);
}

/* ---- messages ---- */

/* The first message of a rank to, or from, another one that the other has not called for. */
static void find_half(const struct trace_set *set, unsigned index, unsigned member, int peer, bool sending,
                      uint64_t here, struct trace_waits *waits) {
    const struct trace_communicator *comm = &set->communicators[index];
    unsigned other;
    uint64_t there = 0;
    bool known = trace_find_member(comm, peer, &other);
    if (known) {
        const struct trace_member *of_other = &comm->members[other];
        const struct trace_peer *row =
            trace_peer_find(set->files[of_other->file], of_other->row, comm->members[member].rank);
        there = !row ? 0 : sending ? row->receives : row->sends;
    }
    if (here <= there || !known || waits->count >= MOST_PENDING)
        return;
    struct trace_pending *pending = add(waits, index, sending ? TRACE_ncclRecv : TRACE_ncclSend, there + 1);
    add_waiting(pending, member);
    add_missing(pending, other);
    look_at_waiting(set, pending, sending ? TRACE_ncclSend : TRACE_ncclRecv, peer);
    const struct trace_record *of_other =
        trace_find_record(set->files[comm->members[other].file], comm->members[other].row, pending->function,
                          pending->call, comm->members[member].rank);
    pending->in_open_group = of_other != NULL;
}

static void find_messages(const struct trace_set *set, unsigned index, struct trace_waits *waits) {
    const struct trace_communicator *comm = &set->communicators[index];
    for (unsigned i = 0; i < comm->count; i++) {
        const struct trace_file *file = set->files[comm->members[i].file];
        for (unsigned k = 0; k < file->peer_count; k++) {
            const struct trace_peer *row = &file->peers[k];
            if ((uint16_t)(row->key >> 32) != comm->members[i].row)
                continue;
            find_half(set, index, i, (int)(uint32_t)row->key, true, row->sends, waits);
            find_half(set, index, i, (int)(uint32_t)row->key, false, row->receives, waits);
        }
    }
}

/* ---- the root ---- */

/* For each file, one more than the first pending call that it waits in, one that it is inside of if there is any; 0: none. */
static unsigned *places_of_files(const struct trace_set *set, const struct trace_waits *waits) {
    unsigned *places = trace_take(set->count, sizeof *places);
    for (unsigned i = waits->count; i-- > 0;) {
        const struct trace_pending *pending = &waits->list[i];
        for (unsigned k = 0; k < pending->waiting_count; k++) {
            unsigned *place = &places[set->communicators[pending->communicator].members[pending->waiting[k]].file];
            if (!*place || pending->inside || !waits->list[*place - 1].inside)
                *place = i + 1;
        }
    }
    for (unsigned i = 0; i < set->count; i++)
        if (set->files[i]->life == TRACE_STOPPED || set->files[i]->life == TRACE_EXITED)
            places[i] = 0;
    return places;
}

/* One more than the pending call in which somebody waits who is missing in this one; 0 if there is none. */
static unsigned next_of(const struct trace_set *set, const struct trace_waits *waits, const unsigned *places,
                        unsigned at) {
    const struct trace_pending *pending = &waits->list[at];
    for (unsigned k = 0; k < pending->missing_count; k++) {
        unsigned next = places[set->communicators[pending->communicator].members[pending->missing[k]].file];
        if (next && next != at + 1)
            return next;
    }
    return 0;
}

static void find_cycle(const struct trace_set *set, const unsigned *places, struct trace_waits *waits) {
    unsigned *seen = trace_take(waits->count, sizeof *seen), at = 0, step = 0;
    while (waits->count && !seen[at]) {
        seen[at] = ++step;
        unsigned next = next_of(set, waits, places, at);
        if (!next) {
            free(seen);
            return;
        }
        at = next - 1;
    }
    for (unsigned begin = at; waits->count;) {
        waits->cycle = trace_more(waits->cycle, waits->cycle_count, sizeof *waits->cycle);
        waits->cycle[waits->cycle_count++] = at;
        at = next_of(set, waits, places, at) - 1;
        if (at == begin)
            break;
    }
    free(seen);
}

/*
 * A rank that makes other calls meanwhile is late, not stuck; unless it has let the others wait for long. Then it is
 * reported as less certain (judge.c).
 */
static bool is_late(const struct trace_set *set, const struct trace_pending *pending) {
    enum { LONG_MS = 10000 };
    bool moved = false;
    for (unsigned i = 0; i < pending->missing_count; i++)
        moved |= set->files[set->communicators[pending->communicator].members[pending->missing[i]].file]->moved;
    return moved && (!pending->since || trace_set_now(set) - pending->since < LONG_MS * 1000000LL);
}

static void leave_out_late(const struct trace_set *set, struct trace_waits *waits) {
    unsigned kept = 0;
    for (unsigned i = 0; i < waits->count; i++) {
        struct trace_pending *pending = &waits->list[i];
        if (is_late(set, pending)) {
            free(pending->waiting);
            free(pending->missing);
            free(pending->absent);
        } else {
            waits->list[kept++] = *pending;
        }
    }
    waits->count = kept;
}

static void find_culprits(const struct trace_set *set, const unsigned *places, unsigned index,
                          struct trace_pending *pending) {
    for (unsigned k = 0; k < pending->missing_count; k++) {
        unsigned place = places[set->communicators[pending->communicator].members[pending->missing[k]].file];
        if (place && place != index + 1 && !pending->in_open_group)
            continue;
        pending->culprits = trace_more(pending->culprits, pending->culprit_count, sizeof *pending->culprits);
        pending->culprits[pending->culprit_count++] = pending->missing[k];
    }
    pending->root = pending->missing_count == 0 || pending->culprit_count > 0;
}

static void find_roots(const struct trace_set *set, struct trace_waits *waits) {
    unsigned *places = places_of_files(set, waits);
    bool any = false;
    for (unsigned i = 0; i < waits->count; i++) {
        find_culprits(set, places, i, &waits->list[i]);
        any |= waits->list[i].root;
    }
    if (!any && waits->count)
        find_cycle(set, places, waits);
    free(places);
}

/** All pending calls of the job. Needs trace_match(). */
void trace_waits_find(const struct trace_set *set, struct trace_waits *waits) {
    *waits = (struct trace_waits){0};
    for (unsigned i = 0; i < set->communicator_count; i++) {
        find_creation(set, i, waits);
        find_collective(set, i, waits);
        find_messages(set, i, waits);
    }
    leave_out_late(set, waits);
    find_roots(set, waits);
}

void trace_waits_free(struct trace_waits *waits) {
    for (unsigned i = 0; i < waits->count; i++) {
        free(waits->list[i].waiting);
        free(waits->list[i].missing);
        free(waits->list[i].culprits);
        free(waits->list[i].absent);
    }
    free(waits->list);
    free(waits->cycle);
}
