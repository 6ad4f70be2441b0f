/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect trace: what was recorded, as tables, differences and exports. */
#include "traces.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- summary ---- */

struct sum {
    unsigned communicator, function;
    uint64_t calls, bytes;
    double ns; /* inside of the calls */
};

enum { NO_COMMUNICATOR = 0xffffffff };

static struct sum *sum_of(struct sum **sums, unsigned *count, unsigned communicator, unsigned function) {
    for (unsigned i = 0; i < *count; i++)
        if ((*sums)[i].communicator == communicator && (*sums)[i].function == function)
            return &(*sums)[i];
    *sums = trace_more(*sums, *count, sizeof **sums);
    (*sums)[*count] = (struct sum){.communicator = communicator, .function = function};
    return &(*sums)[(*count)++];
}

static void add_totals(const struct trace_file *file, struct sum **sums, unsigned *count) {
    unsigned rows;
    struct trace_total *totals = trace_file_table(file, TRACE_TABLE_TOTALS, sizeof *totals, &rows);
    for (unsigned i = 0; i < rows; i++) {
        unsigned comm = (uint16_t)(totals[i].key >> 32), function = (uint8_t)(totals[i].key >> 24);
        if (!totals[i].key)
            continue;
        bool known = comm < file->comm_count && file->comms[comm].identity;
        struct sum *sum = sum_of(sums, count, known ? file->communicator[comm] : NO_COMMUNICATOR,
                                 function < TRACE_FUNCTIONS ? function : 0);
        sum->calls += totals[i].calls;
        sum->bytes += totals[i].bytes;
        sum->ns += (double)totals[i].ticks * file->ns_per_tick;
    }
    free(totals);
}

static int by_communicator(const void *a, const void *b) {
    const struct sum *one = a, *other = b;
    if (one->communicator != other->communicator)
        return one->communicator < other->communicator ? -1 : 1;
    return one->calls > other->calls ? -1 : one->calls < other->calls;
}

/* Calls by the library that made them, of the records that are still there. */
struct callers {
    const struct trace_set *set;
    struct {
        const char *name;
        uint64_t calls;
    } * list;
    unsigned count;
};

static void add_caller(void *arg, unsigned file, const struct trace_record *record) {
    struct callers *callers = arg;
    const char *name = trace_caller_name(callers->set->files[file], record);
    name = name ? name : "unknown";
    for (unsigned i = 0; i < callers->count; i++)
        if (strcmp(callers->list[i].name, name) == 0) {
            callers->list[i].calls++;
            return;
        }
    callers->list = trace_more(callers->list, callers->count, sizeof *callers->list);
    callers->list[callers->count].name = name;
    callers->list[callers->count++].calls = 1;
}

static const char *bytes_text(uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    for (; value >= 1024 && unit < 5; unit++)
        value /= 1024;
    return unit ? formatted("%.1f %s", value, units[unit]) : formatted("%llu B", (unsigned long long)bytes);
}

static void print_communicator(const struct trace_set *set, unsigned index) {
    gap_print();
    if (index == NO_COMMUNICATOR) {
        line_print(0, "without a communicator");
        return;
    }
    const struct trace_communicator *comm = &set->communicators[index];
    struct ncr_text text = {0};
    trace_say_comm(&text, comm);
    line_add(STRONG, "%s", ncr_text_get(&text));
    line_add(PLAIN, ", %u traced", comm->count);
    if (comm->count) {
        const struct trace_comm *row = trace_member_row(set, &comm->members[0]);
        const struct trace_file *file = set->files[comm->members[0].file];
        if (row->library < file->library_count && file->libraries[row->library].version)
            line_add(PLAIN, ", NCCL %s", version_text(file->libraries[row->library].version));
    }
    line_end(0, 4);
    ncr_text_free(&text);
}

static struct json *summary_json(const struct trace_set *set, const struct sum *sums, unsigned count,
                                 const struct callers *callers) {
    struct json *object = json_object(), *list = json_list(), *by_caller = json_list();
    for (unsigned i = 0; i < count; i++) {
        struct json *one = json_object();
        bool known = sums[i].communicator != NO_COMMUNICATOR;
        json_add_text(one, "communicator", known ? set->communicators[sums[i].communicator].label : NULL);
        json_add_text(one, "function", trace_call(sums[i].function)->name);
        json_add_number(one, "calls", (long long)sums[i].calls);
        json_add_number(one, "bytes", (long long)sums[i].bytes);
        json_add_number(one, "ns_inside", (long long)sums[i].ns);
        json_add(list, NULL, one);
    }
    for (unsigned i = 0; i < callers->count; i++) {
        struct json *one = json_object();
        json_add_text(one, "caller", callers->list[i].name);
        json_add_number(one, "calls", (long long)callers->list[i].calls);
        json_add(by_caller, NULL, one);
    }
    json_add_number(object, "processes", set->count);
    json_add(object, "calls", list);
    json_add(object, "callers", by_caller);
    return object;
}

static int summary(struct trace_set *set, const struct request *request) {
    struct sum *sums = NULL;
    struct callers callers = {set, NULL, 0};
    unsigned count = 0;
    unsigned long long kept = 0, made = 0;
    for (unsigned i = 0; i < set->count; i++) {
        add_totals(set->files[i], &sums, &count);
        kept += set->files[i]->kept;
        made += set->files[i]->made;
    }
    if (count)
        qsort(sums, count, sizeof *sums, by_communicator);
    trace_each_record(set, add_caller, &callers);
    if (request->json) {
        json_print(summary_json(set, sums, count, &callers));
        return EXIT_FINE;
    }
    line_print(0, "%u process%s on %u host%s, %llu calls", set->count, set->count == 1 ? "" : "es", set->hosts,
               set->hosts == 1 ? "" : "s", made);
    for (unsigned i = 0; i < count; i++) {
        if (i == 0 || sums[i].communicator != sums[i - 1].communicator)
            print_communicator(set, sums[i].communicator);
        line_print(0, "  %-22s %12llu calls %12s %10.1f us each", trace_call_name(sums[i].function),
                   (unsigned long long)sums[i].calls, bytes_text(sums[i].bytes),
                   sums[i].calls ? sums[i].ns / 1000 / (double)sums[i].calls : 0);
    }
    gap_print();
    line_print(0, "callers, of the %llu newest calls:", kept);
    for (unsigned i = 0; i < callers.count; i++)
        line_print(0, "  %-40s %12llu", callers.list[i].name, (unsigned long long)callers.list[i].calls);
    return EXIT_FINE;
}

/* ---- diff ---- */

static void print_odd(const struct trace_set *set, const struct trace_odd *odd) {
    const struct trace_communicator *comm = &set->communicators[odd->communicator];
    struct ncr_text what = {0}, expected = {0};
    struct trace_record other = odd->record;
    other.function = odd->expected.function ? odd->expected.function : odd->record.function;
    other.count = odd->expected.count;
    other.type = odd->expected.type;
    if (odd->expected.function) {
        other.op = odd->expected.op;
        other.peer = odd->expected.peer;
    }
    trace_say_call(&what, odd->record.function, odd->record.call);
    ncr_text_add(&what, " (");
    trace_say_arguments(&what, &odd->record);
    trace_say_call(&expected, other.function, 0);
    ncr_text_add(&expected, " (");
    trace_say_arguments(&expected, &other);
    unsigned first = odd->expected.function ? odd->expected.first_member : odd->other;
    line_print(2, "%s: rank %d has %s), rank %d %s)", comm->label, comm->members[odd->member].rank, ncr_text_get(&what),
               first < comm->count ? comm->members[first].rank : -1, ncr_text_get(&expected));
    ncr_text_free(&what);
    ncr_text_free(&expected);
}

static int diff(struct trace_set *set, const struct request *request) {
    struct trace_findings findings;
    const struct trace_matching *matching = set->matching;
    trace_judge(set, &findings);
    bool wrong = findings.list[0].kind != TRACE_NOTHING_WRONG;
    if (request->json) {
        struct json *object = json_object();
        json_add_bool(object, "wrong", wrong);
        json_add(object, "findings", findings_json(set, &findings));
        json_add_number(object, "records", (long long)matching->records);
        json_print(object);
        return wrong ? EXIT_FINDING : EXIT_FINE;
    }
    for (unsigned i = 0; i < findings.count; i++)
        line_print(0, "%s: %s", trace_kind_name(findings.list[i].kind), ncr_text_get(&findings.list[i].sentence));
    size_t most = request->all ? matching->odd_count : matching->odd_count < 20 ? matching->odd_count : 20;
    if (most)
        gap_print();
    for (size_t i = 0; i < most; i++)
        print_odd(set, &matching->odd[i]);
    if (most < matching->odd_count)
        line_print(2, "and %zu more; --all shows them", matching->odd_count - most);
    if (matching->odd_left_out)
        line_print(2, "and %zu that were not kept", matching->odd_left_out);
    return wrong ? EXIT_FINDING : EXIT_FINE;
}

/* ---- export, collect ---- */

static FILE *output_of(const struct request *request) {
    FILE *to = request->to ? fopen(request->to, "we") : stdout;
    if (!to)
        complain("%s cannot be written: %m", request->to);
    return to;
}

static int export_file(struct trace_set *set, const struct request *request) {
    struct trace_findings findings;
    FILE *to = output_of(request);
    int status;
    if (!to)
        return EXIT_OUTPUT;
    if (request->as && strcmp(request->as, "chrome") == 0) {
        status = export_chrome(set, to);
    } else {
        trace_judge(set, &findings);
        status = request->as && strcmp(request->as, "html") == 0 ? export_html(set, &findings, to)
                                                                 : export_json(set, &findings, to);
    }
    if ((to == stdout ? fflush(to) : fclose(to)) != 0 || status != EXIT_FINE) {
        complain("%s cannot be written", request->to ? request->to : "the output");
        return EXIT_OUTPUT;
    }
    return EXIT_FINE;
}

static int export_all(struct trace_set *set, const struct request *request) {
    if (!request->as || strcmp(request->as, "torch") != 0)
        return export_file(set, request);
    if (!request->to) {
        complain("trace export --as=torch writes a file per rank: name a folder for them with --to=FOLDER");
        return EXIT_USAGE;
    }
    return export_torch(set, request->to);
}

int subcommand_trace(struct request *request) {
    static const char *const words[] = {"summary", "diff", "export", "collect"};
    const char *word = request->rest_count ? request->rest[0] : "";
    unsigned which = 0;
    struct trace_set set;
    while (which < 4 && strcmp(word, words[which]) != 0)
        which++;
    if (which == 4) {
        const char *meant = *word ? nearest_word(word, words, 4) : NULL;
        complain(*word ? "trace: \"%s\" is not one of summary, diff, export and collect%s%s"
                       : "trace: which of summary, diff, export and collect?",
                 word, meant ? "; did you mean " : "", meant ? meant : "");
        return EXIT_USAGE;
    }
    if (!traces_open(&set, request->rest + 1, request->rest_count == 1)) {
        traces_explain_absence(&set, request->rest + 1);
        return EXIT_NO_TRACE;
    }
    for (unsigned i = 0; i < set.refused_count; i++)
        complain("warning: %s is left out: %s", set.refused[i].path, set.refused[i].why);
    if (which == 3)
        return trace_collect(&set, stdout);
    if (which == 2)
        traces_keep_ranks(&set);
    traces_match(&set);
    return which == 0 ? summary(&set, request) : which == 1 ? diff(&set, request) : export_all(&set, request);
}
