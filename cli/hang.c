/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect hang: which rank is missing? One sentence, what it rests on, and an exit code. */
#include "traces.h"

#include <string.h>

enum { WATCH_MS = 1000, WIDTH = 14 };

static void print_ranks(const struct trace_set *set, const struct trace_finding *finding, const char *label,
                        const unsigned *members, unsigned count) {
    struct ncr_text text = {0};
    if (!count)
        return;
    trace_say_members(&text, set, &set->communicators[finding->communicator], members, count);
    pair_print(WIDTH, PLAIN, label, "%s", ncr_text_get(&text));
    ncr_text_free(&text);
}

static void print_call(const struct trace_set *set, const struct trace_finding *finding) {
    struct ncr_text text = {0};
    const char *caller = NULL;
    if (!finding->function)
        return;
    trace_say_call(&text, finding->function, finding->call);
    if (finding->record.sequence) {
        struct ncr_text arguments = {0};
        trace_say_arguments(&arguments, &finding->record);
        if (arguments.length)
            ncr_text_add(&text, " (%s)", ncr_text_get(&arguments));
        ncr_text_free(&arguments);
        if (finding->file >= 0)
            caller = trace_caller_name(set->files[finding->file], &finding->record);
        if (caller)
            ncr_text_add(&text, ", called by %s", caller);
    }
    pair_print(WIDTH, PLAIN, "call", "%s", ncr_text_get(&text));
    ncr_text_free(&text);
}

static void print_finding(const struct trace_set *set, const struct trace_finding *finding) {
    enum tone tone = finding->kind == TRACE_NOTHING_WRONG ? GOOD : finding->certainty == TRACE_CERTAIN ? BAD : DOUBTFUL;
    line_add(tone, "%s", ncr_text_get(&finding->sentence));
    line_end(0, 0);
    if (finding->kind == TRACE_NOTHING_WRONG) {
        if (finding->doubts.length)
            pair_print(WIDTH, PLAIN, "certainty", "%s", ncr_text_get(&finding->doubts));
        return;
    }
    pair_print(WIDTH, PLAIN, "kind", "%s: %s", trace_kind_name(finding->kind), trace_kind_meaning(finding->kind));
    print_call(set, finding);
    if (finding->communicator >= 0) {
        print_ranks(set, finding, "about", finding->members, finding->member_count);
        print_ranks(set, finding, "others", finding->others, finding->other_count);
    }
    pair_print(WIDTH, PLAIN, "certainty", "%s%s%s", trace_certainty_name(finding->certainty),
               finding->doubts.length ? ": " : "", ncr_text_get(&finding->doubts));
}

static void print_seen(const struct trace_set *set) {
    unsigned long long lost = 0;
    for (unsigned i = 0; i < set->count; i++)
        lost += set->files[i]->made - set->files[i]->kept;
    gap_print();
    line_add(FAINT, "%u process%s on %u host%s, %u communicator%s, %llu calls compared", set->count,
             set->count == 1 ? "" : "es", set->hosts, set->hosts == 1 ? "" : "s", set->communicator_count,
             set->communicator_count == 1 ? "" : "s", (unsigned long long)set->matching->records);
    if (lost)
        line_add(FAINT, ", %llu older ones overwritten", lost);
    line_end(0, 0);
}

static int answer(struct trace_set *set, const struct request *request) {
    struct trace_findings findings;
    trace_judge(set, &findings);
    bool wrong = findings.list[0].kind != TRACE_NOTHING_WRONG;
    if (request->json) {
        struct json *object = json_object();
        json_add_text(object, "sentence", ncr_text_get(&findings.list[0].sentence));
        json_add_bool(object, "wrong", wrong);
        json_add(object, "findings", findings_json(set, &findings));
        json_add_number(object, "processes", set->count);
        json_add_number(object, "hosts", set->hosts);
        json_add_number(object, "records", (long long)set->matching->records);
        json_print(object);
        return wrong ? EXIT_FINDING : EXIT_FINE;
    }
    print_finding(set, &findings.list[0]);
    for (unsigned i = 1; i < findings.count; i++) {
        if (i == 1) {
            gap_print();
            line_print(0, "Also:");
        }
        line_print(2, "%s", ncr_text_get(&findings.list[i].sentence));
        if (i == 5 && findings.count > 6 && !request->all) {
            line_print(2, "and %u more; --all shows them", findings.count - 6);
            break;
        }
    }
    print_seen(set);
    return wrong ? EXIT_FINDING : EXIT_FINE;
}

int subcommand_hang(struct request *request) {
    struct trace_set set;
    if (!traces_open(&set, request->rest, true)) {
        int status = request->rest_count ? -1 : ras_hang(request);
        if (status >= 0)
            return status;
        traces_explain_absence(&set, request->rest);
        return EXIT_NO_TRACE;
    }
    trace_watch(&set, WATCH_MS);
    traces_match(&set);
    return answer(&set, request);
}
