/* SPDX-License-Identifier: Apache-2.0 */
/* Findings where no call is missing: streams that contradict each other, processes that are dead or stopped, calls that do
 * not return although every rank has made them. */
#include "trace.h"

#include <stdlib.h>

/** Orders on streams that contradict each other, where every rank has made every call. */
void trace_judge_order(const struct trace_set *set, struct trace_findings *findings) {
    struct trace_step *steps;
    unsigned count = trace_order_cycle(set, &steps);
    if (count < 2) {
        free(steps);
        return;
    }
    const struct trace_file *first = set->files[steps[0].file];
    struct trace_finding *finding =
        trace_findings_add(findings, TRACE_ORDER_DIFFERS, (int)first->communicator[steps[0].record.comm]);
    struct ncr_text *text = &finding->sentence;
    finding->call = steps[0].record.call;
    finding->function = steps[0].record.function;
    finding->record = steps[0].record;
    finding->file = (int)steps[0].file;
    ncr_text_add(text, "The order of calls differs between communicators on one stream, in a cycle of %u: ", count);
    for (unsigned i = 0; i < count; i++) {
        const struct trace_file *file = set->files[steps[i].file];
        const struct trace_file *next_file = set->files[steps[(i + 1) % count].file];
        const struct trace_record *next = &steps[(i + 1) % count].record;
        const struct trace_communicator *comm = trace_comm_of(set, file, &steps[i].record);
        unsigned member = file->member[steps[i].record.comm];
        finding->members = trace_more(finding->members, finding->member_count, sizeof *finding->members);
        if (comm == &set->communicators[finding->communicator])
            finding->members[finding->member_count++] = member;
        ncr_text_add(text, i ? "; " : "");
        trace_say_members(text, set, comm, &member, 1);
        ncr_text_add(text, " calls ");
        trace_say_call(text, steps[i].record.function, steps[i].record.call);
        ncr_text_add(text, " on %s before ", comm->label);
        trace_say_call(text, next->function, next->call);
        ncr_text_add(text, " on %s", trace_comm_of(set, next_file, next)->label);
    }
    ncr_text_add(text, ". A stream runs one after the other, so none of them can end.");
    free(steps);
}

static bool is_open(const struct trace_set *set, const struct trace_member *member) {
    uint16_t ending = trace_member_row(set, member)->ending;
    return ending == TRACE_OPEN || ending == TRACE_FINALIZED;
}

/* A process of the communicator that is dead or stopped, while others of it are alive. */
static bool judge_lives(const struct trace_set *set, unsigned index, struct trace_findings *findings) {
    const struct trace_communicator *comm = &set->communicators[index];
    unsigned *bad = NULL, count = 0, alive = 0;
    bool stopped = false;
    for (unsigned i = 0; i < comm->count; i++) {
        enum trace_life life = set->files[comm->members[i].file]->life;
        alive += life == TRACE_RUNNING;
        if ((life != TRACE_GONE && life != TRACE_STOPPED) || !is_open(set, &comm->members[i]))
            continue;
        stopped |= life == TRACE_STOPPED;
        bad = trace_more(bad, count, sizeof *bad);
        bad[count++] = i;
    }
    if (!count || !alive) {
        free(bad);
        return false;
    }
    struct trace_finding *finding =
        trace_findings_add(findings, stopped ? TRACE_RANK_STOPPED : TRACE_RANK_DEAD, (int)index);
    finding->members = bad;
    finding->member_count = count;
    finding->file = (int)comm->members[bad[0]].file;
    trace_say_members(&finding->sentence, set, comm, bad, count);
    trace_say_capital(&finding->sentence, 0);
    ncr_text_add(&finding->sentence, " of ");
    trace_say_comm(&finding->sentence, comm);
    ncr_text_add(&finding->sentence, " %s, while %u other%s of it live%s. ",
                 stopped ? (count == 1 ? "is stopped" : "are stopped") : (count == 1 ? "is dead" : "are dead"), alive,
                 alive == 1 ? "" : "s", alive == 1 ? "s" : "");
    trace_say_state(&finding->sentence, set, comm, bad[0]);
    return true;
}

/* The collective, or creation, that the thread is inside of, itself or by the end of its group; NULL if there is none. */
static const struct trace_record *inside_collective(const struct trace_file *file, const struct trace_record *inside) {
    if (inside->comm != TRACE_NO_COMM &&
        (trace_is_collective(inside->function) || trace_call(inside->function)->class == TRACE_CREATE))
        return inside;
    for (unsigned i = file->tail_count - file->inside_count; inside->function == TRACE_ncclGroupEnd && i-- > 0;)
        if (file->tail[i].group == inside->group && file->tail[i].comm != TRACE_NO_COMM &&
            TRACE_THREAD_OF(file->tail[i].sequence) == TRACE_THREAD_OF(inside->sequence))
            return &file->tail[i];
    return NULL;
}

static void judge_all_inside(const struct trace_set *set, const struct trace_file *file,
                             const struct trace_record *record, struct trace_findings *findings) {
    const struct trace_communicator *comm = trace_comm_of(set, file, record);
    struct trace_finding *finding =
        trace_findings_add(findings, TRACE_ALL_INSIDE, (int)file->communicator[record->comm]);
    finding->call = record->call;
    finding->function = record->function;
    finding->record = *record;
    for (unsigned i = 0; i < comm->count; i++) {
        const struct trace_file *other = set->files[comm->members[i].file];
        const struct trace_record *theirs =
            trace_find_record(other, comm->members[i].row, record->function, record->call, TRACE_NO_PEER);
        int64_t enter = theirs ? trace_time(other, theirs->enter) : 0;
        finding->since = enter > finding->since ? enter : finding->since;
        finding->others = trace_more(finding->others, finding->other_count, sizeof *finding->others);
        finding->others[finding->other_count++] = i;
    }
    ncr_text_add(&finding->sentence, "All ranks of ");
    trace_say_comm(&finding->sentence, comm);
    ncr_text_add(&finding->sentence, " have called ");
    trace_say_call(&finding->sentence, record->function, record->call);
    ncr_text_add(&finding->sentence, " with the same arguments, the last of them ");
    trace_say_duration(&finding->sentence, trace_set_now(set) - finding->since);
    ncr_text_add(&finding->sentence, " ago, and it has not returned: not the program, but the GPUs, the driver or the "
                                     "network hold it up.");
}

/** Where no call is missing: processes that are dead or stopped, calls that do not return although all are there. */
void trace_judge_inside(const struct trace_set *set, struct trace_findings *findings) {
    for (unsigned i = 0; i < set->communicator_count; i++)
        if (judge_lives(set, i, findings))
            return;
    for (unsigned i = 0; i < set->count; i++) {
        const struct trace_file *file = set->files[i];
        for (unsigned k = file->tail_count - file->inside_count; k < file->tail_count; k++) {
            const struct trace_record *record = inside_collective(file, &file->tail[k]);
            if (record && !file->moved && file->life != TRACE_GONE && file->life != TRACE_EXITED) {
                judge_all_inside(set, file, record, findings);
                return;
            }
        }
    }
}
