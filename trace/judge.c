/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The findings about a job: collected from the two kinds of evidence, less certain where something was not seen,
 * ordered by cause.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

/* In the order in which they are causes: a finding higher up explains those further down. */
static const struct {
    const char *name, *meaning;
    unsigned weight;
} kinds[TRACE_KINDS] = {
    [TRACE_NOTHING_WRONG] = {"nothing-wrong", "nothing wrong was found", 0},
    [TRACE_ALL_INSIDE] = {"all-inside", "every rank is in the call: the GPU or the network, not the program", 10},
    [TRACE_LIBRARIES_DIFFER] = {"nccl-mismatch", "ranks of a communicator use different NCCLs", 20},
    [TRACE_CALL_FAILED] = {"call-failed", "a call returned an error", 30},
    [TRACE_RANK_MISSING] = {"missing-rank", "a rank has not made a call that others wait in", 50},
    [TRACE_SEND_WITHOUT_RECEIVE] = {"unmatched-send", "a send has no receive", 51},
    [TRACE_RECEIVE_WITHOUT_SEND] = {"unmatched-receive", "a receive has no send", 51},
    [TRACE_WRONG_PEER] = {"wrong-peer", "a message goes to, or is awaited from, another rank than meant", 60},
    [TRACE_INIT_MISSING] = {"init-missing", "a rank has not come to create the communicator", 55},
    [TRACE_GROUP_OPEN] = {"open-group", "ncclGroupEnd is missing: the calls of the group are not launched", 65},
    [TRACE_ORDER_DIFFERS] = {"order-mismatch", "ranks call in orders that wait for each other", 70},
    [TRACE_MESSAGE_DIFFERS] = {"size-mismatch", "the two halves of a message have different sizes", 80},
    [TRACE_COUNT_DIFFERS] = {"count-mismatch", "ranks passed different counts", 80},
    [TRACE_TYPE_DIFFERS] = {"type-mismatch", "ranks passed different data types", 81},
    [TRACE_OPERATOR_DIFFERS] = {"operator-mismatch", "ranks passed different operators", 82},
    [TRACE_ROOT_DIFFERS] = {"root-mismatch", "ranks passed different roots", 82},
    [TRACE_FUNCTION_DIFFERS] = {"collective-mismatch", "ranks called different collectives", 85},
    [TRACE_RANK_STOPPED] = {"rank-stopped", "a process is stopped", 90},
    [TRACE_RANK_DEAD] = {"rank-dead", "a process has ended while others wait for it", 95},
};

const char *trace_kind_name(enum trace_kind kind) {
    return kinds[kind].name;
}

const char *trace_kind_meaning(enum trace_kind kind) {
    return kinds[kind].meaning;
}

const char *trace_certainty_name(enum trace_certainty certainty) {
    static const char *const names[] = {"certain", "likely", "possible"};
    return names[certainty];
}

struct trace_finding *trace_findings_add(struct trace_findings *findings, enum trace_kind kind, int communicator) {
    findings->list = trace_more(findings->list, findings->count, sizeof *findings->list);
    struct trace_finding *finding = &findings->list[findings->count++];
    *finding = (struct trace_finding){.kind = kind, .communicator = communicator, .file = -1};
    return finding;
}

/** Lowers the certainty, with the reason: a clause. */
void trace_finding_doubt(struct trace_finding *finding, enum trace_certainty certainty, const char *format, ...) {
    if (certainty > finding->certainty)
        finding->certainty = certainty;
    if (finding->doubts.length)
        ncr_text_add(&finding->doubts, "; ");
    va_list list;
    va_start(list, format);
    ncr_text_add_list(&finding->doubts, format, list);
    va_end(list);
}

/* ---- what was not seen ---- */

static void doubt_absent(const struct trace_communicator *comm, struct trace_finding *finding) {
    enum { MOST = 256 };
    int ranks[MOST];
    unsigned count = 0, all = 0, member;
    for (int rank = 0; rank < comm->ranks; rank++)
        if (!trace_find_member(comm, rank, &member)) {
            if (count < MOST)
                ranks[count++] = rank;
            all++;
        }
    if (!all || finding->kind == TRACE_INIT_MISSING)
        return;
    struct ncr_text text = {0};
    trace_say_numbers(&text, ranks, count);
    trace_finding_doubt(finding, TRACE_LIKELY, "there is no trace of rank%s %s%s of %s", all == 1 ? "" : "s",
                        ncr_text_get(&text), all > count ? " and others" : "", comm->label);
    ncr_text_free(&text);
}

static void doubt_records(const struct trace_set *set, const struct trace_communicator *comm,
                          struct trace_finding *finding) {
    uint64_t left_out = 0, lost = 0;
    for (unsigned i = 0; i < comm->count; i++) {
        left_out += set->files[comm->members[i].file]->header.calls_left_out;
        lost += set->files[comm->members[i].file]->made - set->files[comm->members[i].file]->kept;
    }
    if (left_out)
        trace_finding_doubt(finding, TRACE_LIKELY, "%llu calls were not recorded, of threads beyond the limit",
                            (unsigned long long)left_out);
    if (lost && finding->call && !finding->record.sequence)
        trace_finding_doubt(finding, TRACE_LIKELY, "%llu older records were overwritten, among them those of this call",
                            (unsigned long long)lost);
}

static void doubt(const struct trace_set *set, struct trace_finding *finding) {
    if (finding->communicator >= 0) {
        const struct trace_communicator *comm = &set->communicators[finding->communicator];
        doubt_absent(comm, finding);
        doubt_records(set, comm, finding);
        if (finding->record.flags & TRACE_CAPTURED)
            trace_finding_doubt(finding, TRACE_LIKELY,
                                "the call was captured into a CUDA graph; when the graph is replayed is not recorded");
        if (finding->record.flags & TRACE_NONBLOCKING && finding->kind == TRACE_INIT_MISSING)
            trace_finding_doubt(finding, TRACE_LIKELY, "the communicator is non-blocking");
    }
    if (finding->file >= 0 && finding->since && set->files[finding->file]->moved)
        trace_finding_doubt(finding, TRACE_POSSIBLE, "process %d still makes other calls: it may just be late",
                            set->files[finding->file]->header.pid);
    if (set->refused_count)
        trace_finding_doubt(finding, TRACE_LIKELY, "%u trace%s could not be read (%s: %s)", set->refused_count,
                            set->refused_count == 1 ? "" : "s", set->refused[0].path, set->refused[0].why);
    if (finding->file >= 0 && set->files[finding->file]->life == TRACE_LIFE_UNKNOWN)
        trace_finding_doubt(finding, TRACE_LIKELY, "whether process %d on %s still runs is not known from here",
                            set->files[finding->file]->header.pid, set->files[finding->file]->host);
}

/* ---- all of it ---- */

static int by_weight(const void *a, const void *b) {
    const struct trace_finding *one = a, *other = b;
    unsigned x = kinds[one->kind].weight, y = kinds[other->kind].weight;
    if (x != y)
        return x > y ? -1 : 1;
    if (one->other_count != other->other_count)
        return one->other_count > other->other_count ? -1 : 1;
    return one->since < other->since ? -1 : one->since > other->since;
}

static void add_nothing(const struct trace_set *set, bool moves, struct trace_findings *findings) {
    struct trace_finding *finding = trace_findings_add(findings, TRACE_NOTHING_WRONG, -1);
    unsigned running = 0;
    int64_t newest = 0;
    for (unsigned i = 0; i < set->count; i++) {
        running += set->files[i]->life == TRACE_RUNNING || set->files[i]->life == TRACE_LIFE_UNKNOWN;
        newest = set->files[i]->newest > newest ? set->files[i]->newest : newest;
    }
    ncr_text_add(&finding->sentence, "Nothing wrong found: ");
    if (moves && running) {
        ncr_text_add(&finding->sentence, "the job makes progress.");
        return;
    }
    ncr_text_add(&finding->sentence, "the ranks of %s%u communicator%s made the same calls",
                 set->communicator_count == 1 ? "the " : "each of ", set->communicator_count,
                 set->communicator_count == 1 ? "" : "s");
    if (!running) {
        ncr_text_add(&finding->sentence, ".");
        return;
    }
    ncr_text_add(&finding->sentence, ", the last one ");
    trace_say_duration(&finding->sentence, trace_set_now(set) - newest);
    ncr_text_add(&finding->sentence, " ago. If the job hangs, it waits on the GPU or the network, or in the program, "
                                     "outside of NCCL's functions.");
}

/** What is wrong with the job, the likely cause first; one finding of kind TRACE_NOTHING_WRONG if nothing was found. */
void trace_judge(struct trace_set *set, struct trace_findings *findings) {
    struct trace_waits waits;
    bool moves = false;
    *findings = (struct trace_findings){0};
    for (unsigned i = 0; i < set->count; i++)
        moves |= set->files[i]->moved;
    trace_judge_arguments(set, findings);
    trace_waits_find(set, &waits);
    trace_judge_waits(set, &waits, findings);
    trace_judge_cycle(set, &waits, findings);
    if (!findings->count && !moves)
        trace_judge_order(set, findings);
    if (!findings->count)
        trace_judge_inside(set, findings);
    trace_judge_failures(set, findings);
    trace_judge_libraries(set, findings);
    if (!findings->count)
        add_nothing(set, moves, findings);
    for (unsigned i = 0; i < findings->count; i++)
        doubt(set, &findings->list[i]);
    qsort(findings->list, findings->count, sizeof *findings->list, by_weight);
    trace_waits_free(&waits);
}

void trace_findings_free(struct trace_findings *findings) {
    for (unsigned i = 0; i < findings->count; i++) {
        ncr_text_free(&findings->list[i].sentence);
        ncr_text_free(&findings->list[i].doubts);
        free(findings->list[i].members);
        free(findings->list[i].others);
    }
    free(findings->list);
    *findings = (struct trace_findings){0};
}
