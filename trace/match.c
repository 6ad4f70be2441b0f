/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All records, once: what ranks passed in a collective is compared by its number on the communicator, the two halves of a
 * message by their number between two ranks. Files are read one after the other, so that memory goes by the number of
 * different calls, not by that of records.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

enum { TAIL = 512, MOST_ODD = 100000 };

/** What is compared of a call: an alias is the function that it stands for. */
struct trace_instance trace_instance_of(const struct trace_record *record) {
    return (struct trace_instance){.count = record->count,
                                   .peer = record->peer,
                                   .function = (uint8_t)trace_call(record->function)->like,
                                   .type = record->type,
                                   .op = record->op,
                                   .flags = record->flags,
                                   .seen = 1};
}

/** Would NCCL take the two for one call? Without a reduction only bytes are moved: their number is what counts. */
bool trace_same_arguments(const struct trace_instance *expected, const struct trace_record *record) {
    if (expected->function != trace_call(record->function)->like || expected->op != record->op ||
        expected->peer != record->peer)
        return false;
    if (expected->count == record->count && expected->type == record->type)
        return true;
    return record->op == TRACE_NO_OPERATOR &&
           expected->count * trace_type_size(expected->type) == record->count * trace_type_size(record->type);
}

static void add_odd(struct trace_matching *matching, struct trace_odd odd) {
    if (matching->odd_count >= MOST_ODD) {
        matching->odd_left_out++;
        return;
    }
    matching->odd = trace_more(matching->odd, matching->odd_count, sizeof *matching->odd);
    matching->odd[matching->odd_count++] = odd;
}

static void take_time(struct trace_instance *instance, int64_t enter, unsigned member) {
    int64_t last = instance->first_enter + (int64_t)instance->span_us * 1000;
    if (enter < instance->first_enter) {
        int64_t span = last - enter < 4000000000000 ? (last - enter) / 1000 : 4000000000;
        instance->span_us = (uint32_t)span;
        instance->first_enter = enter;
    } else if (enter >= last) {
        int64_t span =
            enter - instance->first_enter < 4000000000000 ? (enter - instance->first_enter) / 1000 : 4000000000;
        instance->span_us = (uint32_t)span;
        instance->last_member = member;
    }
}

static void match_collective(struct trace_set *set, const struct trace_file *file, const struct trace_record *record) {
    unsigned communicator = file->communicator[record->comm], member = file->member[record->comm];
    struct trace_matching *matching = set->matching;
    struct trace_instance *instance = trace_pages_item(&matching->collectives, communicator, 0, record->call, true);
    int64_t enter = trace_time(file, record->enter);
    if (!instance->seen) {
        *instance = trace_instance_of(record);
        instance->first_member = instance->last_member = member;
        instance->first_enter = enter;
        return;
    }
    instance->seen++;
    instance->flags |= record->flags;
    take_time(instance, enter, member);
    if (!trace_same_arguments(instance, record))
        add_odd(matching, (struct trace_odd){communicator, member, 0, *record, *instance});
}

static void compare_transfer(struct trace_set *set, const struct trace_file *file, const struct trace_record *record,
                             const struct trace_transfer *transfer, bool sending) {
    unsigned communicator = file->communicator[record->comm], member = file->member[record->comm], other;
    if (transfer->count * trace_type_size(transfer->type) == record->count * trace_type_size(record->type) ||
        !trace_find_member(&set->communicators[communicator], record->peer, &other))
        return;
    struct trace_odd odd = {communicator,
                            sending ? other : member,
                            sending ? member : other,
                            *record,
                            {.count = transfer->count, .type = transfer->type, .peer = record->peer}};
    add_odd(set->matching, odd);
}

static void match_message(struct trace_set *set, const struct trace_file *file, const struct trace_record *record) {
    int rank = file->comms[record->comm].rank;
    bool sending = record->function == TRACE_ncclSend;
    if (rank < 0 || record->peer < 0)
        return;
    uint32_t from = (uint32_t)(sending ? rank : record->peer), to = (uint32_t)(sending ? record->peer : rank);
    struct trace_transfer *transfer = trace_pages_item(&set->matching->transfers, file->communicator[record->comm],
                                                       (uint64_t)from << 32 | to, record->call, true);
    uint8_t half = sending ? TRACE_SENT : TRACE_RECEIVED, other = sending ? TRACE_RECEIVED : TRACE_SENT;
    if (transfer->state & other && !(transfer->state & half))
        compare_transfer(set, file, record, transfer, sending);
    else {
        transfer->count = record->count;
        transfer->type = record->type;
    }
    transfer->state |= half;
    transfer->state |= record->count ? 0 : TRACE_NOTHING;
    transfer->flags |= record->flags;
}

static void match_record(struct trace_set *set, const struct trace_file *file, const struct trace_record *record) {
    struct trace_matching *matching = set->matching;
    matching->records++;
    matching->captured += (record->flags & TRACE_CAPTURED) != 0;
    if (record->comm == TRACE_NO_COMM)
        return;
    if (record->leave && record->result != 0 && record->result != 7) { /* neither success nor in progress */
        matching->failed = trace_more(matching->failed, matching->failed_count, sizeof *matching->failed);
        if (matching->failed_count < MOST_ODD)
            matching->failed[matching->failed_count++] =
                (struct trace_odd){file->communicator[record->comm], file->member[record->comm], 0, *record, {0}};
    }
    if (!record->call)
        return;
    if (trace_is_collective(record->function))
        match_collective(set, file, record);
    else if (trace_call(record->function)->class == TRACE_MESSAGE)
        match_message(set, file, record);
}

/* ---- the newest records of a file ---- */

static int by_enter(const void *a, const void *b) {
    const struct trace_record *one = a, *other = b;
    if (one->enter != other->enter)
        return one->enter < other->enter ? -1 : 1;
    return one->sequence < other->sequence ? -1 : one->sequence > other->sequence;
}

/* The largest `wanted` of stamps end up behind the returned place: Hoare's selection. */
static uint64_t stamp_at(uint64_t *stamps, size_t count, size_t place) {
    size_t low = 0, high = count - 1;
    while (low < high) {
        uint64_t pivot = stamps[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (stamps[i] < pivot)
                i++;
            while (stamps[j] > pivot)
                j--;
            if (i >= j)
                break;
            uint64_t swap = stamps[i];
            stamps[i++] = stamps[j];
            stamps[j--] = swap;
        }
        if (place <= j)
            high = j;
        else
            low = j + 1;
    }
    return stamps[place];
}

static void take_tail(struct trace_file *file, const struct trace_record *records, size_t count) {
    uint64_t *stamps = trace_take(count, sizeof *stamps), least = 0;
    for (size_t i = 0; i < count; i++)
        stamps[i] = records[i].enter;
    if (count > TAIL)
        least = stamp_at(stamps, count, count - TAIL);
    free(stamps);
    file->tail = trace_take(TAIL + file->thread_count, sizeof *file->tail);
    for (size_t i = 0; i < count && file->tail_count < TAIL; i++)
        if (records[i].enter >= least)
            file->tail[file->tail_count++] = records[i];
    qsort(file->tail, file->tail_count, sizeof *file->tail, by_enter);
}

/* What threads are inside of. A call that has got to the ring meanwhile is there. */
static void take_inside(struct trace_file *file) {
    unsigned finished = file->tail_count;
    for (unsigned i = 0; i < file->thread_count; i++) {
        struct trace_record record = file->threads[i].inside;
        bool known = !file->threads[i].id || !record.sequence || record.function == TRACE_NO_FUNCTION ||
                     TRACE_THREAD_OF(record.sequence) != i;
        for (unsigned k = 0; k < finished && !known; k++)
            known = file->tail[k].sequence == record.sequence;
        if (known)
            continue;
        record.leave = 0;
        if (record.comm >= file->comm_count || !file->comms[record.comm].identity)
            record.comm = TRACE_NO_COMM;
        file->tail[file->tail_count++] = record;
        file->inside_count++;
    }
}

static void take_newest(struct trace_file *file) {
    file->newest = trace_time(file, file->header.opened.ticks);
    for (unsigned i = 0; i < file->tail_count; i++) {
        const struct trace_record *record = &file->tail[i];
        int64_t time = trace_time(file, record->leave ? record->leave : record->enter);
        file->newest = time > file->newest ? time : file->newest;
    }
}

static void count_records(struct trace_file *file, const struct trace_record *records, size_t count) {
    uint64_t *newest = trace_take(file->thread_count, sizeof *newest);
    for (size_t i = 0; i < count; i++) {
        uint64_t number = TRACE_NUMBER_OF(records[i].sequence), *most = &newest[TRACE_THREAD_OF(records[i].sequence)];
        *most = number > *most ? number : *most;
    }
    file->made = file->header.calls_left_out;
    for (unsigned i = 0; i < file->thread_count; i++) {
        uint64_t written = file->threads[i].written;
        file->made += written > newest[i] ? written : newest[i];
    }
    file->kept = count;
    free(newest);
}

/* Calls in a group that is still open are not launched yet. Its end launches them as soon as it is called. */
static void subtract_open_groups(struct trace_set *set, struct trace_file *file, const struct trace_record *records,
                                 size_t count) {
    bool open = false;
    for (unsigned i = 0; i < file->thread_count; i++)
        open |= file->threads[i].depth > 0 && file->threads[i].inside.function != TRACE_ncclGroupEnd;
    for (size_t i = 0; i < count && open; i++) {
        const struct trace_record *record = &records[i];
        const struct trace_thread *thread = &file->threads[TRACE_THREAD_OF(record->sequence)];
        if (record->comm == TRACE_NO_COMM || !record->call || !record->group || record->group != thread->group ||
            thread->depth == 0 || (thread->inside.sequence && thread->inside.function == TRACE_ncclGroupEnd))
            continue;
        struct trace_peer *peer = trace_peer_find(file, record->comm, record->peer);
        if (record->function == TRACE_ncclSend && peer)
            peer->sends -= peer->sends > 0;
        if (record->function == TRACE_ncclRecv && peer)
            peer->receives -= peer->receives > 0;
        if (!trace_is_collective(record->function))
            continue;
        struct trace_member *member =
            &set->communicators[file->communicator[record->comm]].members[file->member[record->comm]];
        member->launched -= member->launched > 0;
    }
}

/** Reads and compares all records of all files; keeps of each file the newest ones. */
void trace_match(struct trace_set *set, trace_progress *progress, void *arg) {
    struct trace_record *records = NULL;
    size_t room = 0;
    set->matching = trace_take(1, sizeof *set->matching);
    set->matching->collectives.item = sizeof(struct trace_instance);
    set->matching->transfers.item = sizeof(struct trace_transfer);
    for (unsigned i = 0; i < set->count; i++) {
        struct trace_file *file = set->files[i];
        size_t count = trace_file_ring(file, &records, &room);
        count_records(file, records, count);
        trace_peers_read(file);
        subtract_open_groups(set, file, records, count);
        take_tail(file, records, count);
        take_inside(file);
        take_newest(file);
        for (size_t k = 0; k < count; k++)
            match_record(set, file, &records[k]);
        for (unsigned k = file->tail_count - file->inside_count; k < file->tail_count; k++)
            match_record(set, file, &file->tail[k]);
        if (progress)
            progress(arg, "comparing", i + 1, set->count);
    }
    free(records);
}

/** Shows every record of a file once more, by time, and last the calls that threads are inside of. */
void trace_each_record_of(struct trace_set *set, unsigned index, trace_record_visitor *visit, void *arg) {
    struct trace_record *records = NULL;
    size_t room = 0;
    struct trace_file *file = set->files[index];
    size_t count = trace_file_ring(file, &records, &room);
    if (count)
        qsort(records, count, sizeof *records, by_enter);
    for (size_t k = 0; k < count; k++)
        visit(arg, index, &records[k]);
    for (unsigned k = file->tail_count - file->inside_count; k < file->tail_count; k++)
        visit(arg, index, &file->tail[k]);
    free(records);
}

/** The same for every file. */
void trace_each_record(struct trace_set *set, trace_record_visitor *visit, void *arg) {
    for (unsigned i = 0; i < set->count; i++)
        trace_each_record_of(set, i, visit, arg);
}

void trace_match_free(struct trace_set *set) {
    if (!set->matching)
        return;
    trace_pages_free(&set->matching->collectives);
    trace_pages_free(&set->matching->transfers);
    free(set->matching->odd);
    free(set->matching->failed);
    free(set->matching);
    set->matching = NULL;
}
