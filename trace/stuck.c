/* SPDX-License-Identifier: Apache-2.0 */
/* Findings from who waits for whom. */
#include "trace.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static unsigned *copy_of(const unsigned *list, unsigned count) {
    unsigned *copy = trace_take(count, sizeof *copy);
    if (count)
        memcpy(copy, list, count * sizeof *copy);
    return copy;
}

static const struct trace_file *file_of(const struct trace_set *set, const struct trace_pending *pending,
                                        unsigned member) {
    return set->files[set->communicators[pending->communicator].members[member].file];
}

static bool has_ended(const struct trace_file *file) {
    return file->life == TRACE_GONE || file->life == TRACE_EXITED;
}

static bool somebody_lives(const struct trace_set *set, const struct trace_pending *pending) {
    for (unsigned i = 0; i < pending->waiting_count; i++)
        if (!has_ended(file_of(set, pending, pending->waiting[i])))
            return true;
    return false;
}

static bool is_message(const struct trace_pending *pending) {
    return trace_call(pending->function)->class == TRACE_MESSAGE;
}

/* ---- the sentence ---- */

/* "7 ranks have been waiting in it for 62 s." */
static void say_waiting(struct ncr_text *text, const struct trace_set *set, const struct trace_pending *pending) {
    const struct trace_communicator *comm = &set->communicators[pending->communicator];
    unsigned count = pending->waiting_count;
    bool over = !somebody_lives(set, pending);
    if (count == 1) {
        size_t at = text->length;
        trace_say_members(text, set, comm, pending->waiting, 1);
        trace_say_capital(text, at);
    } else {
        ncr_text_add(text, "%u ranks", count);
    }
    if (over)
        ncr_text_add(text, " waited %s it when %s ended", pending->inside ? "in" : "for", count == 1 ? "it" : "they");
    else
        ncr_text_add(text, " %s been waiting %s it", count == 1 ? "has" : "have", pending->inside ? "in" : "for");
    if (pending->since && !over) {
        ncr_text_add(text, " for ");
        trace_say_duration(text, trace_set_now(set) - pending->since);
    }
    ncr_text_add(text, ".");
}

static void say_what(struct ncr_text *text, const struct trace_set *set, const struct trace_pending *pending) {
    const struct trace_communicator *comm = &set->communicators[pending->communicator];
    trace_say_call(text, pending->function, pending->call);
    if (is_message(pending)) {
        ncr_text_add(text, pending->function == TRACE_ncclRecv ? " from " : " to ");
        ncr_text_add(text, "rank %d", comm->members[pending->waiting[0]].rank);
    }
    ncr_text_add(text, " on ");
    trace_say_comm(text, comm);
}

static void say_missing(struct ncr_text *text, const struct trace_set *set, const struct trace_pending *pending,
                        enum trace_kind kind) {
    const struct trace_communicator *comm = &set->communicators[pending->communicator];
    bool one = pending->culprit_count == 1;
    trace_say_members(text, set, comm, pending->culprits, pending->culprit_count);
    trace_say_capital(text, 0);
    if (kind == TRACE_RANK_DEAD || kind == TRACE_RANK_STOPPED) {
        ncr_text_add(text, kind == TRACE_RANK_STOPPED ? (one ? " is stopped" : " are stopped")
                                                      : (one ? " has ended" : " have ended"));
        ncr_text_add(text, " without having called ");
    } else {
        ncr_text_add(text, one ? " has not called " : " have not called ");
    }
    say_what(text, set, pending);
    ncr_text_add(text, "; ");
}

static void say_states(struct ncr_text *text, const struct trace_set *set, const struct trace_pending *pending) {
    enum { MOST = 3 };
    const struct trace_communicator *comm = &set->communicators[pending->communicator];
    for (unsigned i = 0; i < pending->culprit_count && i < MOST; i++) {
        ncr_text_add(text, " ");
        trace_say_state(text, set, comm, pending->culprits[i]);
    }
    unsigned others = pending->missing_count - pending->culprit_count;
    if (others)
        ncr_text_add(text, " %u more rank%s not called it either, but wait%s for others.", others,
                     others == 1 ? " has" : "s have", others == 1 ? "s" : "");
}

/* ---- kinds ---- */

static enum trace_kind kind_of(const struct trace_set *set, const struct trace_pending *pending) {
    bool ended = false, stopped = false;
    for (unsigned i = 0; i < pending->culprit_count; i++) {
        const struct trace_file *file = file_of(set, pending, pending->culprits[i]);
        ended |= has_ended(file);
        stopped |= file->life == TRACE_STOPPED;
    }
    if (ended && somebody_lives(set, pending))
        return TRACE_RANK_DEAD;
    if (stopped)
        return TRACE_RANK_STOPPED;
    if (pending->in_open_group)
        return TRACE_GROUP_OPEN;
    if (is_message(pending))
        return pending->function == TRACE_ncclRecv ? TRACE_SEND_WITHOUT_RECEIVE : TRACE_RECEIVE_WITHOUT_SEND;
    return TRACE_RANK_MISSING;
}

/* When is a group open, of a thread of the file, and since when? */
static bool open_since(const struct trace_file *file, int64_t *since) {
    for (unsigned i = 0; i < file->thread_count; i++)
        if (file->threads[i].id && file->threads[i].depth) {
            *since = trace_time(file, file->threads[i].group_since);
            return true;
        }
    return false;
}

static void say_open_group(struct ncr_text *text, const struct trace_set *set, const struct trace_pending *pending) {
    const struct trace_communicator *comm = &set->communicators[pending->communicator];
    int64_t since = 0;
    trace_say_members(text, set, comm, pending->missing, pending->missing_count);
    trace_say_capital(text, 0);
    ncr_text_add(text, pending->missing_count == 1 ? " has called " : " have called ");
    say_what(text, set, pending);
    ncr_text_add(text, " in a group that is still open: it is not launched before ncclGroupEnd");
    if (open_since(file_of(set, pending, pending->missing[0]), &since)) {
        ncr_text_add(text, ", which has been missing for ");
        trace_say_duration(text, trace_set_now(set) - since);
    }
    ncr_text_add(text, ". ");
}

static void judge_creation(const struct trace_set *set, const struct trace_pending *pending,
                           struct trace_findings *findings) {
    const struct trace_communicator *comm = &set->communicators[pending->communicator];
    struct trace_finding *finding = trace_findings_add(findings, TRACE_INIT_MISSING, (int)pending->communicator);
    struct ncr_text *text = &finding->sentence;
    unsigned named = pending->absent_count < TRACE_MOST_ABSENT ? pending->absent_count : TRACE_MOST_ABSENT;
    bool numbered = comm->members[0].rank >= 0;
    finding->function = pending->function;
    finding->since = pending->since;
    finding->others = copy_of(pending->waiting, pending->waiting_count);
    finding->other_count = pending->waiting_count;
    finding->record.flags = (uint8_t)trace_member_row(set, &comm->members[0])->flags;
    ncr_text_add(text, "Only %u of %d ranks have called %s for %s: ", pending->waiting_count, comm->ranks,
                 trace_call(pending->function)->name, comm->label);
    if (numbered) {
        ncr_text_add(text, "rank%s ", pending->absent_count == 1 ? "" : "s");
        trace_say_numbers(text, pending->absent, named);
        ncr_text_add(text, pending->absent_count == 1 ? " has" : " have");
    } else {
        ncr_text_add(text, "the others have");
    }
    ncr_text_add(text, " not, or %s not traced. ", pending->absent_count == 1 ? "is" : "are");
    say_waiting(text, set, pending);
}

static void judge_pending(const struct trace_set *set, const struct trace_pending *pending,
                          struct trace_findings *findings) {
    enum trace_kind kind = kind_of(set, pending);
    struct trace_finding *finding = trace_findings_add(findings, kind, (int)pending->communicator);
    finding->call = pending->call;
    finding->function = pending->function;
    finding->record = pending->record;
    finding->since = pending->since;
    finding->members = copy_of(pending->missing, pending->missing_count);
    finding->member_count = pending->missing_count;
    finding->others = copy_of(pending->waiting, pending->waiting_count);
    finding->other_count = pending->waiting_count;
    finding->file =
        pending->missing_count ? (int)set->communicators[pending->communicator].members[pending->missing[0]].file : -1;
    if (kind == TRACE_GROUP_OPEN)
        say_open_group(&finding->sentence, set, pending);
    else
        say_missing(&finding->sentence, set, pending, kind);
    size_t at = finding->sentence.length;
    say_waiting(&finding->sentence, set, pending);
    if (kind != TRACE_GROUP_OPEN && finding->sentence.data) /* it continues after a semicolon */
        finding->sentence.data[at] = (char)tolower((unsigned char)finding->sentence.data[at]);
    say_states(&finding->sentence, set, pending);
}

/* ---- a message to, or from, the wrong rank ---- */

static bool waits_or_is_gone(const struct trace_set *set, const struct trace_waits *waits, unsigned index, int rank) {
    const struct trace_communicator *comm = &set->communicators[index];
    unsigned member;
    if (!trace_find_member(comm, rank, &member))
        return false;
    if (set->files[comm->members[member].file]->life == TRACE_EXITED)
        return true;
    for (unsigned i = 0; i < waits->count; i++)
        for (unsigned k = 0; k < waits->list[i].waiting_count; k++)
            if (set->communicators[waits->list[i].communicator].members[waits->list[i].waiting[k]].file ==
                comm->members[member].file)
                return true;
    return false;
}

/*
 * A send that nobody receives beside a receive that nobody sends for, with one end in common, of the same size, while all
 * of them wait or have exited (a rank that is merely late is outside of NCCL): one of the two names the wrong rank.
 */
static bool judge_peers(const struct trace_set *set, const struct trace_waits *waits, struct trace_findings *findings) {
    for (unsigned i = 0; i < waits->count; i++) {
        const struct trace_pending *send = &waits->list[i];
        if (send->function != TRACE_ncclRecv || !send->call)
            continue;
        const struct trace_communicator *comm = &set->communicators[send->communicator];
        int from = comm->members[send->waiting[0]].rank, to = comm->members[send->missing[0]].rank;
        for (unsigned k = 0; k < waits->count; k++) {
            const struct trace_pending *receive = &waits->list[k];
            if (receive->function != TRACE_ncclSend || receive->communicator != send->communicator || !receive->call)
                continue;
            int at = comm->members[receive->waiting[0]].rank, awaited = comm->members[receive->missing[0]].rank;
            bool sender = awaited == from && at != to, receiver = at == to && awaited != from;
            if ((!sender && !receiver) || send->record.count != receive->record.count ||
                send->record.type != receive->record.type ||
                !waits_or_is_gone(set, waits, send->communicator, sender ? to : awaited))
                continue;
            struct trace_finding *finding = trace_findings_add(findings, TRACE_WRONG_PEER, (int)send->communicator);
            struct ncr_text *text = &finding->sentence;
            finding->call = send->call;
            finding->function = sender ? TRACE_ncclSend : TRACE_ncclRecv;
            finding->record = sender ? send->record : receive->record;
            finding->members = copy_of(sender ? send->waiting : receive->waiting, 1);
            finding->others = copy_of(sender ? receive->waiting : send->waiting, 1);
            finding->member_count = finding->other_count = 1;
            finding->since = send->since > receive->since ? send->since : receive->since;
            finding->file = (int)comm->members[finding->members[0]].file;
            trace_say_members(text, set, comm, finding->members, 1);
            trace_say_capital(text, 0);
            if (sender)
                ncr_text_add(
                    text, " sends to rank %d, which does not receive from it, while rank %d waits to receive from it",
                    to, at);
            else
                ncr_text_add(text, " receives from rank %d, which does not send to it, while rank %d sends to it",
                             awaited, from);
            ncr_text_add(text, ", on ");
            trace_say_comm(text, comm);
            ncr_text_add(text, ": the peer of %s #%llu is probably wrong.", sender ? "Send" : "Recv",
                         (unsigned long long)(sender ? send->call : receive->call));
            trace_finding_doubt(finding, TRACE_LIKELY, "ranks that send and receive in a wrong order look the same");
            return true;
        }
    }
    return false;
}

/** Findings of pending calls whose missing ranks wait for nobody; the others are their consequences. */
void trace_judge_waits(const struct trace_set *set, const struct trace_waits *waits, struct trace_findings *findings) {
    if (judge_peers(set, waits, findings))
        return;
    for (unsigned i = 0; i < waits->count; i++) {
        const struct trace_pending *pending = &waits->list[i];
        if (!pending->root)
            continue;
        if (!pending->call)
            judge_creation(set, pending, findings);
        else
            judge_pending(set, pending, findings);
    }
}

/* ---- cycles ---- */

/** The cycle of ranks that wait for each other, if there is no rank that waits for nobody. */
void trace_judge_cycle(const struct trace_set *set, const struct trace_waits *waits, struct trace_findings *findings) {
    for (unsigned i = 0; i < findings->count; i++)
        if (findings->list[i].kind == TRACE_WRONG_PEER)
            return;
    if (!waits->cycle_count)
        return;
    const struct trace_pending *first = &waits->list[waits->cycle[0]];
    struct trace_finding *finding = trace_findings_add(findings, TRACE_ORDER_DIFFERS, (int)first->communicator);
    struct ncr_text *text = &finding->sentence;
    finding->call = first->call;
    finding->function = first->function;
    finding->record = first->record;
    finding->members = copy_of(first->missing, first->missing_count);
    finding->member_count = first->missing_count;
    finding->others = copy_of(first->waiting, first->waiting_count);
    finding->other_count = first->waiting_count;
    finding->since = first->since;
    ncr_text_add(text, "Ranks wait for each other in a cycle of %u: ", waits->cycle_count);
    for (unsigned i = 0; i < waits->cycle_count; i++) {
        const struct trace_pending *pending = &waits->list[waits->cycle[i]];
        const struct trace_communicator *comm = &set->communicators[pending->communicator];
        ncr_text_add(text, i ? "; " : "");
        trace_say_members(text, set, comm, pending->waiting, pending->waiting_count);
        ncr_text_add(text, pending->waiting_count == 1 ? " waits for " : " wait for ");
        say_what(text, set, pending);
        ncr_text_add(text, ", which ");
        trace_say_members(text, set, comm, pending->missing, pending->missing_count);
        ncr_text_add(text, pending->missing_count == 1 ? " has not called" : " have not called");
        finding->since = pending->since > finding->since ? pending->since : finding->since;
    }
    ncr_text_add(text, ". The order of these calls differs between the ranks");
    ncr_text_add(text,
                 is_message(first) ? "; a group (ncclGroupStart, ncclGroupEnd) would let them run together." : ".");
}
