/* SPDX-License-Identifier: Apache-2.0 */
/* Findings from what ranks passed: different arguments of one call, different NCCLs, calls that failed. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

/* ---- one call on which ranks disagree ---- */

/* What one or more ranks passed. */
struct opinion {
    struct trace_instance what;
    struct trace_record record; /* sequence 0: nobody's record is at hand */
    unsigned *members;
    unsigned count;
};

struct opinions {
    struct opinion *list;
    unsigned count;
};

static void add_member(struct opinion *opinion, unsigned member) {
    opinion->members = trace_more(opinion->members, opinion->count, sizeof *opinion->members);
    opinion->members[opinion->count++] = member;
}

static struct opinion *opinion_of(struct opinions *opinions, const struct trace_instance *what) {
    struct trace_record record = {
        .function = what->function, .count = what->count, .type = what->type, .op = what->op, .peer = what->peer};
    for (unsigned i = 0; i < opinions->count; i++)
        if (trace_same_arguments(&opinions->list[i].what, &record))
            return &opinions->list[i];
    opinions->list = trace_more(opinions->list, opinions->count, sizeof *opinions->list);
    opinions->list[opinions->count] = (struct opinion){.what = *what, .record = record};
    return &opinions->list[opinions->count++];
}

/* The ranks that agree with the first one are not listed: they are those that made the call and are not listed as odd. */
static void add_agreeing(const struct trace_communicator *comm, struct opinions *opinions, struct opinion *first,
                         uint64_t call) {
    for (unsigned i = 0; i < comm->count; i++) {
        bool odd = comm->members[i].called < call;
        for (unsigned k = 0; k < opinions->count && !odd; k++)
            for (unsigned m = 0; m < opinions->list[k].count && !odd; m++)
                odd = &opinions->list[k] != first && opinions->list[k].members[m] == i;
        if (!odd)
            add_member(first, i);
    }
}

static int by_followers(const void *a, const void *b) {
    const struct opinion *one = a, *other = b;
    if (one->count != other->count)
        return one->count > other->count ? -1 : 1;
    return one->members[0] < other->members[0] ? -1 : one->members[0] > other->members[0];
}

/* The opinions on the call of `odd[0]`, which stands in odd[0 … count - 1] sorted by call; the most common first. */
static struct opinions opinions_on(const struct trace_communicator *comm, const struct trace_odd *odd, size_t count) {
    struct opinions opinions = {0};
    opinion_of(&opinions, &odd[0].expected);
    for (size_t i = 0; i < count && odd[i].record.call == odd[0].record.call; i++) {
        struct trace_instance what = trace_instance_of(&odd[i].record);
        struct opinion *opinion = opinion_of(&opinions, &what);
        opinion->record = odd[i].record;
        add_member(opinion, odd[i].member);
    }
    add_agreeing(comm, &opinions, &opinions.list[0], odd[0].record.call);
    if (!opinions.list[0].count) /* its record was the only one, and its row says otherwise: damage */
        add_member(&opinions.list[0], odd[0].expected.first_member < comm->count ? odd[0].expected.first_member : 0);
    qsort(opinions.list, opinions.count, sizeof *opinions.list, by_followers);
    return opinions;
}

static enum trace_kind kind_of(const struct trace_instance *a, const struct trace_instance *b) {
    if (a->function != b->function)
        return TRACE_FUNCTION_DIFFERS;
    if (a->op != b->op)
        return TRACE_OPERATOR_DIFFERS;
    if (a->peer != b->peer)
        return TRACE_ROOT_DIFFERS;
    return a->type != b->type ? TRACE_TYPE_DIFFERS : TRACE_COUNT_DIFFERS;
}

static void say_opinion(struct ncr_text *text, const struct trace_set *set, const struct trace_communicator *comm,
                        const struct opinion *opinion) {
    ncr_text_add(text, "%s (", trace_call_name(opinion->record.function));
    trace_say_arguments(text, &opinion->record);
    ncr_text_add(text, ") on ");
    trace_say_members(text, set, comm, opinion->members, opinion->count);
}

/* ---- did a rank skip a call? ---- */

static const struct trace_record *record_of(const struct trace_set *set, const struct trace_communicator *comm,
                                            unsigned member, uint64_t call) {
    const struct trace_member *of = &comm->members[member];
    return trace_find_record(set->files[of->file], of->row, TRACE_NO_FUNCTION, call, TRACE_NO_PEER);
}

/* From `call` on, are the calls of one what the other calls one later? */
static bool is_one_behind(const struct trace_set *set, const struct trace_communicator *comm, unsigned ahead,
                          unsigned behind, uint64_t call) {
    unsigned same = 0;
    for (unsigned i = 0; i < 8; i++) {
        const struct trace_record *a = record_of(set, comm, ahead, call + i);
        const struct trace_record *b = record_of(set, comm, behind, call + i + 1);
        if (!a || !b)
            break;
        struct trace_instance expected = trace_instance_of(b);
        if (!trace_same_arguments(&expected, a))
            return false;
        same++;
    }
    return same > 0;
}

static void say_shift(const struct trace_set *set, const struct trace_communicator *comm,
                      const struct opinions *opinions, uint64_t call, struct ncr_text *text) {
    const struct opinion *most = &opinions->list[0], *odd = &opinions->list[1];
    if (opinions->count != 2 || odd->count != 1 || comm->members[odd->members[0]].rank < 0)
        return;
    int rank = comm->members[odd->members[0]].rank;
    if (is_one_behind(set, comm, odd->members[0], most->members[0], call)) {
        ncr_text_add(text,
                     " From there on rank %d makes the calls that the others make one later: it seems to have skipped ",
                     rank);
        trace_say_call(text, most->record.function, call);
        ncr_text_add(text, ".");
    } else if (is_one_behind(set, comm, most->members[0], odd->members[0], call)) {
        ncr_text_add(text, " From there on the others make the calls that rank %d makes one later: its ", rank);
        trace_say_call(text, odd->record.function, call);
        ncr_text_add(text, " seems to be one too many.");
    }
}

/* ---- findings ---- */

static void judge_call(const struct trace_set *set, const struct trace_odd *odd, size_t count, size_t later,
                       struct trace_findings *findings) {
    const struct trace_communicator *comm = &set->communicators[odd->communicator];
    struct opinions opinions = opinions_on(comm, odd, count);
    const struct opinion *most = &opinions.list[0], *least = &opinions.list[opinions.count - 1];
    enum trace_kind kind = opinions.count > 1 ? kind_of(&most->what, &opinions.list[1].what) : TRACE_COUNT_DIFFERS;
    struct trace_finding *finding = trace_findings_add(findings, kind, (int)odd->communicator);
    struct ncr_text *text = &finding->sentence;
    finding->call = odd->record.call;
    finding->function = most->record.function;
    finding->record = most->record;
    finding->record.sequence = odd->record.sequence;
    finding->record.flags = odd->expected.flags;
    for (unsigned i = opinions.count; i-- > 1;)
        for (unsigned k = 0; k < opinions.list[i].count; k++) {
            finding->members = trace_more(finding->members, finding->member_count, sizeof *finding->members);
            finding->members[finding->member_count++] = opinions.list[i].members[k];
        }
    finding->others = most->members;
    finding->other_count = most->count;
    finding->file = (int)comm->members[least->members[0]].file;
    ncr_text_add(text, "Ranks of ");
    trace_say_comm(text, comm);
    ncr_text_add(text, " disagree on call #%llu: ", (unsigned long long)finding->call);
    for (unsigned i = opinions.count; i-- > 0;) {
        say_opinion(text, set, comm, &opinions.list[i]);
        ncr_text_add(text, i > 1 ? ", " : i ? ", but " : ".");
    }
    if (later)
        ncr_text_add(text, " They disagree on %zu later call%s too.", later, later == 1 ? "" : "s");
    say_shift(set, comm, &opinions, finding->call, text);
    for (unsigned i = 1; i < opinions.count; i++)
        free(opinions.list[i].members);
    free(opinions.list);
}

static void judge_message(const struct trace_set *set, const struct trace_odd *odd, size_t later,
                          struct trace_findings *findings) {
    const struct trace_communicator *comm = &set->communicators[odd->communicator];
    struct trace_finding *finding = trace_findings_add(findings, TRACE_MESSAGE_DIFFERS, (int)odd->communicator);
    struct ncr_text *text = &finding->sentence;
    bool sending = odd->record.function == TRACE_ncclSend;
    struct trace_record sent = odd->record, received = odd->record;
    struct trace_record *other = sending ? &received : &sent;
    other->count = odd->expected.count;
    other->type = odd->expected.type;
    finding->call = odd->record.call;
    finding->function = odd->record.function;
    finding->record = odd->record;
    finding->members = trace_take(1, sizeof *finding->members);
    finding->others = trace_take(1, sizeof *finding->others);
    finding->members[finding->member_count++] = odd->member;
    finding->others[finding->other_count++] = odd->other;
    finding->file = (int)comm->members[odd->member].file;
    ncr_text_add(text, "Message #%llu on ", (unsigned long long)odd->record.call);
    trace_say_comm(text, comm);
    ncr_text_add(text, " has two sizes: ");
    trace_say_members(text, set, comm, &odd->other, 1);
    ncr_text_add(text, " sends %llu x %s, ", (unsigned long long)sent.count, trace_type_name(sent.type));
    trace_say_members(text, set, comm, &odd->member, 1);
    ncr_text_add(text, " receives %llu x %s.", (unsigned long long)received.count, trace_type_name(received.type));
    if (later)
        ncr_text_add(text, " So have %zu later messages.", later);
}

static bool is_message(const struct trace_odd *odd) {
    return trace_call(odd->record.function)->class == TRACE_MESSAGE;
}

/* By communicator, messages behind collectives, then by number. */
static int by_call(const void *a, const void *b) {
    const struct trace_odd *one = a, *other = b;
    if (one->communicator != other->communicator)
        return one->communicator < other->communicator ? -1 : 1;
    if (is_message(one) != is_message(other))
        return is_message(one) ? 1 : -1;
    if (one->record.call != other->record.call)
        return one->record.call < other->record.call ? -1 : 1;
    return one->member < other->member ? -1 : one->member > other->member;
}

/** One finding for each communicator whose ranks passed different arguments: the first such call. */
void trace_judge_arguments(const struct trace_set *set, struct trace_findings *findings) {
    struct trace_odd *odd = set->matching->odd;
    size_t count = set->matching->odd_count;
    if (count)
        qsort(odd, count, sizeof *odd, by_call);
    for (size_t i = 0; i < count;) {
        size_t end = i, same = 0, calls = 0;
        for (; end < count && odd[end].communicator == odd[i].communicator &&
               is_message(&odd[end]) == is_message(&odd[i]);
             end++) {
            same += odd[end].record.call == odd[i].record.call;
            calls += end == i || odd[end].record.call != odd[end - 1].record.call;
        }
        if (is_message(&odd[i]))
            judge_message(set, &odd[i], end - i - 1, findings);
        else
            judge_call(set, &odd[i], same, calls - 1, findings);
        i = end;
    }
}

/** The first failed call of each communicator. */
void trace_judge_failures(const struct trace_set *set, struct trace_findings *findings) {
    const struct trace_matching *matching = set->matching;
    for (unsigned i = 0; i < set->communicator_count; i++) {
        const struct trace_odd *first = NULL;
        size_t count = 0;
        for (size_t k = 0; k < matching->failed_count; k++) {
            if (matching->failed[k].communicator != i)
                continue;
            count++;
            if (!first || matching->failed[k].record.enter < first->record.enter)
                first = &matching->failed[k];
        }
        if (!first)
            continue;
        const struct trace_communicator *comm = &set->communicators[i];
        struct trace_finding *finding = trace_findings_add(findings, TRACE_CALL_FAILED, (int)i);
        finding->call = first->record.call;
        finding->function = first->record.function;
        finding->record = first->record;
        finding->members = trace_take(1, sizeof *finding->members);
        finding->members[finding->member_count++] = first->member;
        finding->file = (int)comm->members[first->member].file;
        trace_say_members(&finding->sentence, set, comm, &first->member, 1);
        trace_say_capital(&finding->sentence, 0);
        ncr_text_add(&finding->sentence, " got %s from ", trace_result_name(first->record.result));
        trace_say_call(&finding->sentence, first->record.function, first->record.call);
        ncr_text_add(&finding->sentence, " on ");
        trace_say_comm(&finding->sentence, comm);
        ncr_text_add(&finding->sentence, count > 1 ? "; %zu calls on it failed." : ".", count);
    }
}

static const struct trace_library *library_of(const struct trace_set *set, const struct trace_member *member) {
    const struct trace_file *file = set->files[member->file];
    unsigned library = trace_member_row(set, member)->library;
    return library < file->library_count && *file->libraries[library].path ? &file->libraries[library] : NULL;
}

static bool same_library(const struct trace_library *a, const struct trace_library *b) {
    if (*a->build_id && *b->build_id)
        return strcmp(a->build_id, b->build_id) == 0;
    return a->version == b->version;
}

/** Communicators whose ranks use different NCCLs. */
void trace_judge_libraries(const struct trace_set *set, struct trace_findings *findings) {
    for (unsigned i = 0; i < set->communicator_count; i++) {
        const struct trace_communicator *comm = &set->communicators[i];
        const struct trace_library *first = NULL, *other = NULL;
        unsigned odd = 0, base = 0;
        for (unsigned k = 0; k < comm->count && !other; k++) {
            const struct trace_library *library = library_of(set, &comm->members[k]);
            if (library && !first) {
                first = library;
                base = k;
            } else if (library && !same_library(first, library)) {
                other = library;
                odd = k;
            }
        }
        if (!other)
            continue;
        struct trace_finding *finding = trace_findings_add(findings, TRACE_LIBRARIES_DIFFER, (int)i);
        char version[16], version_too[16];
        ncr_version_text(first->version, version);
        ncr_version_text(other->version, version_too);
        finding->members = trace_take(1, sizeof *finding->members);
        finding->members[finding->member_count++] = odd;
        finding->file = (int)comm->members[odd].file;
        ncr_text_add(&finding->sentence, "Ranks of ");
        trace_say_comm(&finding->sentence, comm);
        ncr_text_add(&finding->sentence, " use different NCCLs: ");
        trace_say_members(&finding->sentence, set, comm, &base, 1);
        ncr_text_add(&finding->sentence, " uses %s (%s), ", version, first->path);
        trace_say_members(&finding->sentence, set, comm, &odd, 1);
        ncr_text_add(&finding->sentence, " uses %s (%s).", version_too, other->path);
    }
}
