/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl-redirect compare: which of two NCCLs is faster for the calls that a job makes? From traces of runs with each, or by
 * running the job with each in turn. What is compared, and what the interval means, is in trace/pace.c.
 */
#include "traces.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIDTH = 14, MOST_RUNS = 1000, MOST_ROWS = 8 };

struct side {
    const char *name;
    struct trace_pace *runs;
    unsigned count;
};

static void add_run(struct side *side, struct trace_set *set) {
    side->runs = list_grow(side->runs, side->count, sizeof *side->runs);
    traces_match(set);
    trace_pace_read(set, &side->runs[side->count]);
    side->count += side->runs[side->count].count > 0;
    trace_set_close(set);
}

/* ---- from traces ---- */

/* Each job of the folder is a run. */
static void read_folder(struct side *side) {
    char *names[] = {(char *)side->name, NULL};
    struct trace_set all;
    if (!traces_open(&all, names, false)) {
        traces_explain_absence(&all, names);
        return;
    }
    unsigned *jobs = trace_jobs(&all);
    for (unsigned job = 0; job < all.count && side->count < MOST_RUNS; job++) {
        struct trace_set set;
        if (jobs[job] != job || !traces_open(&set, names, false) || set.count != all.count)
            continue;
        bool *wanted = trace_take(set.count, sizeof *wanted);
        for (unsigned i = 0; i < set.count; i++)
            wanted[i] = jobs[i] == job;
        trace_set_keep(&set, wanted);
        free(wanted);
        add_run(side, &set);
    }
    free(jobs);
    trace_set_close(&all);
}

/* ---- by running ---- */

/* Its own output goes to standard error: standard output is for the answer. */
static _Noreturn void start(const char *use, const char *folder, char **command) {
    char **words = words_with(formatted("--trace=%s", folder), words_with("--", command));
    words = words_with("nccl-redirect", words_with("run", words_with(formatted("--use=%s", use), words)));
    signal(SIGINT, SIG_DFL);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execv("/proc/self/exe", words);
    complain("compare: the tool cannot start itself: %m");
    _exit(EXIT_CANNOT_RUN);
}

/* Runs the job once; its exit status. */
static int run_once(struct side *side, char **command) {
    const char *problem, *folder = temporary_folder(&problem);
    struct trace_set set = {0};
    int status = 0;
    if (!folder) {
        complain("compare: %s; set TMPDIR to a folder that can be written", problem);
        return EXIT_OUTPUT;
    }
    int pid = fork();
    if (pid == 0)
        start(side->name, folder, command);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    status = pid < 0 ? EXIT_CANNOT_RUN : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (status)
        complain("compare: with %s the command ends with exit code %d; nothing is compared", side->name, status);
    else if (trace_set_add(&set, folder))
        add_run(side, &set);
    temporary_folder_remove(folder);
    return status;
}

/* In turns, and each first as often as the other, so that a machine that gets slower meanwhile is no difference. */
static int run_all(struct side sides[2], unsigned repeat, char **command) {
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the command; we end when it has */
    for (unsigned i = 0; i < repeat; i++)
        for (unsigned k = 0; k < 2; k++) {
            int status = run_once(&sides[(i + k) % 2], command);
            if (status)
                return status;
        }
    return 0;
}

/* ---- the answer ---- */

static const char *side_text(const struct side *side) {
    int version = side->runs[0].version;
    return version ? formatted("%s (NCCL %s)", side->name, version_text(version)) : formatted("%s", side->name);
}

/* "12.3 % less", of the second compared with the first. */
static const char *percent_text(double ratio) {
    double percent = 100 * (ratio > 1 ? ratio - 1 : 1 - ratio);
    return formatted("%.*f %% %s", percent < 10 ? 2 : 1, percent, ratio > 1 ? "more" : "less");
}

static void print_sentence(const struct side sides[2], const struct trace_comparison *comparison) {
    const char *first = side_text(&sides[0]), *second = side_text(&sides[1]);
    if (!comparison->differs)
        line_print(0, "No difference shown between %s and %s.", first, second);
    else
        line_print(0, "%s is faster than %s.", comparison->ratio < 1 ? second : first,
                   comparison->ratio < 1 ? first : second);
    pair_print(WIDTH, PLAIN, "time", "first %.1f us, second %.1f us from a call to the next: the second takes %s",
               comparison->ns[0] / 1000, comparison->ns[1] / 1000, percent_text(comparison->ratio));
    if (comparison->enough)
        pair_print(WIDTH, PLAIN, "interval", "95 %% confidence: the second takes %s to %s",
                   percent_text(comparison->low), percent_text(comparison->high));
    else
        pair_print(WIDTH, PLAIN, "interval",
                   "unknown: at least %d runs of each are needed to know how much runs differ by themselves",
                   TRACE_LEAST_RUNS);
}

static uint64_t least_bytes(const struct trace_comparison_row *row) {
    return row->kind.class ? (uint64_t)1 << (row->kind.class - 1) : 0;
}

static void print_rows(const struct trace_comparison *comparison) {
    gap_print();
    line_print(0, "%-22s %6s %10s %12s %12s %12s %8s", "calls", "ranks", "from size", "number", "first", "second",
               "ratio");
    for (unsigned i = 0; i < comparison->count && i < MOST_ROWS; i++) {
        const struct trace_comparison_row *row = &comparison->rows[i];
        unsigned long long calls = row->calls[0] + row->calls[1];
        line_print(0, "%-22s %6d %10s %12llu %9.1f us %9.1f us %8.3f", trace_call_name(row->kind.function),
                   row->kind.ranks, size_text(least_bytes(row)), calls, row->ns[0] / 1000, row->ns[1] / 1000,
                   row->ns[1] / row->ns[0]);
    }
    if (comparison->count > MOST_ROWS)
        line_print(0, "and %u more kinds of calls", comparison->count - MOST_ROWS);
}

static void print_doubts(const struct side sides[2], const struct trace_comparison *comparison) {
    uint64_t captured = 0;
    for (unsigned k = 0; k < 2; k++)
        for (unsigned i = 0; i < sides[k].count; i++)
            captured += sides[k].runs[i].captured;
    pair_print(WIDTH, PLAIN, "measured",
               "on the host, from the start of a call to the start of the thread's next; what "
               "the program does between them is in it");
    if (comparison->share < 0.95)
        pair_print(WIDTH, DOUBTFUL, "left out", "%.0f %% of the calls: not every run has made calls of their kind",
                   100 * (1 - comparison->share));
    if (captured)
        pair_print(WIDTH, DOUBTFUL, "not seen", "replays of CUDA graphs: %llu calls were captured into them",
                   (unsigned long long)captured);
}

static long long thousandths(double value) {
    return (long long)(1000 * value + 0.5);
}

static void print_json(const struct side sides[2], const struct trace_comparison *comparison) {
    struct json *object = json_object(), *list = json_list(), *calls = json_list();
    json_add_text(object, "faster", !comparison->differs ? NULL : sides[comparison->ratio < 1].name);
    json_add_number(object, "ratio_per_mille", thousandths(comparison->ratio));
    json_add_number(object, "low_per_mille", comparison->enough ? thousandths(comparison->low) : -1);
    json_add_number(object, "high_per_mille", comparison->enough ? thousandths(comparison->high) : -1);
    for (unsigned k = 0; k < 2; k++) {
        struct json *side = json_object();
        json_add_text(side, "name", sides[k].name);
        json_add_text(side, "version", sides[k].runs[0].version ? version_text(sides[k].runs[0].version) : NULL);
        json_add_number(side, "runs", sides[k].count);
        json_add_number(side, "ns", (long long)comparison->ns[k]);
        json_add(list, NULL, side);
    }
    for (unsigned i = 0; i < comparison->count; i++) {
        const struct trace_comparison_row *row = &comparison->rows[i];
        struct json *one = json_object();
        json_add_text(one, "function", trace_call(row->kind.function)->name);
        json_add_number(one, "ranks", row->kind.ranks);
        json_add_number(one, "bytes_from", (long long)least_bytes(row));
        json_add_number(one, "calls", (long long)row->calls[0] + (long long)row->calls[1]);
        json_add_number(one, "ns_first", (long long)row->ns[0]);
        json_add_number(one, "ns_second", (long long)row->ns[1]);
        json_add(calls, NULL, one);
    }
    json_add(object, "sides", list);
    json_add(object, "calls", calls);
    json_print(object);
}

static int answer(const struct side sides[2], const struct request *request) {
    struct trace_comparison comparison;
    for (unsigned k = 0; k < 2; k++)
        if (!sides[k].count) {
            complain("compare: no call was recorded of %s that is followed by another", sides[k].name);
            return EXIT_NO_TRACE;
        }
    trace_pace_compare(sides[0].runs, sides[0].count, sides[1].runs, sides[1].count, &comparison);
    if (comparison.share < 0.5) {
        complain(
            "compare: the runs do not make the same calls: %.0f %% of them are of a kind (function, size, number of "
            "ranks) that every run makes",
            100 * comparison.share);
        return EXIT_NO_TRACE;
    }
    if (request->json) {
        print_json(sides, &comparison);
        return EXIT_FINE;
    }
    print_sentence(sides, &comparison);
    pair_print(WIDTH, PLAIN, "runs", "%u and %u, %u rank%s; %llu calls compared", sides[0].count, sides[1].count,
               sides[0].runs[0].processes, sides[0].runs[0].processes == 1 ? "" : "s",
               (unsigned long long)comparison.calls);
    print_doubts(sides, &comparison);
    print_rows(&comparison);
    return EXIT_FINE;
}

int subcommand_compare(struct request *request) {
    struct side sides[2] = {{0}};
    char *end = NULL;
    long repeat = request->repeat ? strtol(request->repeat, &end, 10) : 5;
    bool run = request->rest_count > 3 && strcmp(request->rest[2], "--") == 0;
    if (request->rest_count != 2 && !run) {
        complain(
            "compare: which two? As in: nccl-redirect compare FOLDER FOLDER, or nccl-redirect compare torch system -- "
            "python train.py");
        return EXIT_USAGE;
    }
    if (repeat < 1 || repeat > MOST_RUNS || (end && *end)) {
        complain("compare: --repeat=%s is not a number of runs from 1 to %d", request->repeat, MOST_RUNS);
        return EXIT_USAGE;
    }
    for (unsigned k = 0; k < 2; k++)
        sides[k].name = request->rest[k];
    if (run) {
        int status = run_all(sides, (unsigned)repeat, request->rest + 3);
        if (status)
            return status;
    } else {
        read_folder(&sides[0]);
        read_folder(&sides[1]);
    }
    return answer(sides, request);
}
