/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a job went, and which of two was faster. A record says when the host made a call, not when a GPU was done with
 * it. But a job that waits for its GPUs now and then, as all do that use their results, makes its next call only as fast
 * as they work: so what is compared is the time from one call of a thread to its next, by communicator size, function and
 * size of the message, weighted by how often the jobs made which. The time of one call by itself is compared nowhere. A
 * thread's first tenth of calls, and its first of each kind, are left out: connections are set up there.
 *
 * One run of each says nothing about how runs differ by themselves. The interval is Student's over runs, never over the
 * calls of one run, which are alike for reasons of their own.
 */
#include "trace.h"

#include <stdlib.h>

/* ---- one run ---- */

struct reading {
    const struct trace_set *set;
    struct trace_pace *pace;
    struct {
        uint64_t enter;
        int row; /* in the pace; -1: none */
    } * last;    /* call of each thread of the file */
};

static int by_kind(const struct trace_pace_row *a, const struct trace_pace_row *b) {
    return a->ranks != b->ranks         ? (a->ranks < b->ranks ? -1 : 1)
           : a->function != b->function ? (a->function < b->function ? -1 : 1)
           : a->class != b->class       ? (a->class < b->class ? -1 : 1)
                                        : 0;
}

static int row_of(struct trace_pace *pace, struct trace_pace_row like) {
    for (unsigned i = 0; i < pace->count; i++)
        if (by_kind(&pace->rows[i], &like) == 0)
            return (int)i;
    pace->rows = trace_more(pace->rows, pace->count, sizeof *pace->rows);
    pace->rows[pace->count] = like;
    return (int)pace->count++;
}

static int kind_of(struct reading *reading, unsigned file, const struct trace_record *record) {
    const struct trace_communicator *comm = trace_comm_of(reading->set, reading->set->files[file], record);
    uint64_t bytes = record->count * trace_type_size(record->type);
    if (!comm)
        return -1;
    return row_of(reading->pace, (struct trace_pace_row){.ranks = comm->ranks,
                                                         .function = trace_call(record->function)->like,
                                                         .class = TRACE_SIZE_CLASS(bytes)});
}

static void take_call(void *arg, unsigned file, const struct trace_record *record) {
    struct reading *reading = arg;
    const struct trace_file *of = reading->set->files[file];
    unsigned thread = TRACE_THREAD_OF(record->sequence);
    enum trace_class class = trace_call(record->function)->class;
    bool moves_data = class == TRACE_COLLECTIVE || class == TRACE_MESSAGE;
    if (class == TRACE_CREATE || class == TRACE_END) /* between two parts of a program */
        reading->last[thread].row = -1;
    if (!moves_data ||
        TRACE_NUMBER_OF(record->sequence) * 10 < of->threads[thread].written) /* it is still warming up */
        return;
    reading->pace->captured += (record->flags & TRACE_CAPTURED) != 0;
    int before = reading->last[thread].row;
    if (before >= 0) {
        struct trace_pace_row *row = &reading->pace->rows[before];
        uint64_t first = 1ull << (thread % 64);
        if (row->threads & first) {
            row->calls++;
            row->ns += (double)(record->enter - reading->last[thread].enter) * of->ns_per_tick;
        }
        row->threads |= first;
    }
    reading->last[thread].enter = record->enter;
    reading->last[thread].row = kind_of(reading, file, record);
}

/** The pace of a job whose records are matched. */
void trace_pace_read(struct trace_set *set, struct trace_pace *pace) {
    *pace = (struct trace_pace){0};
    for (unsigned i = 0; i < set->count; i++) {
        const struct trace_file *file = set->files[i];
        struct reading reading = {set, pace, trace_take(file->thread_count, sizeof *reading.last)};
        for (unsigned k = 0; k < file->thread_count; k++)
            reading.last[k].row = -1;
        for (unsigned k = 0; k < pace->count; k++)
            pace->rows[k].threads = 0;
        trace_each_record_of(set, i, take_call, &reading);
        free(reading.last);
        pace->processes += file->comm_count > 0;
        if (file->comm_count && file->library_count && !pace->version)
            pace->version =
                file->libraries[file->comms[0].library < file->library_count ? file->comms[0].library : 0].version;
    }
}

/* ---- two of them ---- */

static struct trace_pace_row *find(const struct trace_pace *pace, const struct trace_pace_row *like) {
    for (unsigned i = 0; i < pace->count; i++)
        if (by_kind(&pace->rows[i], like) == 0 && pace->rows[i].calls)
            return &pace->rows[i];
    return NULL;
}

/* The mean time from a call of this kind to the next, of one side; 0 if one of its runs has none. */
static double mean_of(const struct trace_pace *runs, unsigned count, const struct trace_pace_row *like,
                      uint64_t *calls) {
    double ns = 0;
    *calls = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct trace_pace_row *row = find(&runs[i], like);
        if (!row)
            return 0;
        ns += row->ns;
        *calls += row->calls;
    }
    return *calls ? ns / (double)*calls : 0;
}

static double root(double square) {
    double guess = square > 1 ? square : 1;
    for (unsigned i = 0; i < 200; i++)
        guess = (guess + square / guess) / 2;
    return square > 0 ? guess : 0;
}

/* 97.5 % of Student's distribution. */
static double student(unsigned freedom) {
    static const double table[] = {0,     12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                                   2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086};
    return freedom < sizeof table / sizeof *table ? table[freedom] : 2.086;
}

/* What one run takes for an average call of the mix. */
static double value_of(const struct trace_pace *run, const struct trace_comparison *comparison) {
    double sum = 0, weights = 0;
    for (unsigned i = 0; i < comparison->count; i++) {
        const struct trace_pace_row *row = find(run, &comparison->rows[i].kind);
        double weight = (double)(comparison->rows[i].calls[0] + comparison->rows[i].calls[1]);
        sum += weight * row->ns / (double)row->calls;
        weights += weight;
    }
    return sum / weights;
}

static double variance(const double *values, unsigned count, double *mean) {
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < count; i++)
        sum += values[i];
    *mean = sum / count;
    for (unsigned i = 0; i < count; i++)
        squares += (values[i] - *mean) * (values[i] - *mean);
    return count > 1 ? squares / (count - 1) : 0;
}

/*
 * The ratio of the means, and how far it may be off: of runs that took turns, what changed with time is the same for both of a
 * pair, and what is left of b when the ratio times a is taken away is what varies.
 */
static void take_interval(const double *a, unsigned a_count, const double *b, unsigned b_count,
                          struct trace_comparison *comparison) {
    double a_mean, b_mean, none;
    double a_variance = variance(a, a_count, &a_mean), b_variance = variance(b, b_count, &b_mean);
    double ratio = b_mean / a_mean, square = b_variance / b_count + ratio * ratio * a_variance / a_count;
    unsigned least = a_count < b_count ? a_count : b_count;
    if (a_count == b_count) {
        double *rest = trace_take(a_count, sizeof *rest);
        for (unsigned i = 0; i < a_count; i++)
            rest[i] = b[i] - ratio * a[i];
        square = variance(rest, a_count, &none) / a_count;
        free(rest);
    }
    double error = student(least - 1) * root(square) / a_mean;
    comparison->ns[0] = a_mean;
    comparison->ns[1] = b_mean;
    comparison->ratio = ratio;
    comparison->enough = least >= TRACE_LEAST_RUNS;
    comparison->low = ratio > error ? ratio - error : 0;
    comparison->high = ratio + error;
    comparison->differs = comparison->enough && (comparison->low > 1 || comparison->high < 1);
}

static int by_time(const void *a, const void *b) {
    const struct trace_comparison_row *one = a, *other = b;
    double x = one->ns[0] * (double)one->calls[0], y = other->ns[0] * (double)other->calls[0];
    return x > y ? -1 : x < y;
}

/* All calls of the runs, for the share that is compared. */
static uint64_t calls_of(const struct trace_pace *runs, unsigned count) {
    uint64_t calls = 0;
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < runs[i].count; k++)
            calls += runs[i].rows[k].calls;
    return calls;
}

/** Compares runs of a job, at least one of each. No rows: they have no call in common. */
void trace_pace_compare(const struct trace_pace *a, unsigned a_count, const struct trace_pace *b, unsigned b_count,
                        struct trace_comparison *comparison) {
    uint64_t all = calls_of(a, a_count) + calls_of(b, b_count), shared = 0;
    *comparison = (struct trace_comparison){0};
    for (unsigned i = 0; i < a[0].count; i++) {
        struct trace_comparison_row row = {.kind = a[0].rows[i]};
        row.ns[0] = mean_of(a, a_count, &row.kind, &row.calls[0]);
        row.ns[1] = mean_of(b, b_count, &row.kind, &row.calls[1]);
        if (row.ns[0] <= 0 || row.ns[1] <= 0)
            continue;
        shared += row.calls[0] + row.calls[1];
        comparison->rows = trace_more(comparison->rows, comparison->count, sizeof *comparison->rows);
        comparison->rows[comparison->count++] = row;
    }
    comparison->calls = shared;
    comparison->share = all ? (double)shared / (double)all : 0;
    if (!comparison->count)
        return;
    double *of_a = trace_take(a_count, sizeof *of_a), *of_b = trace_take(b_count, sizeof *of_b);
    for (unsigned i = 0; i < a_count; i++)
        of_a[i] = value_of(&a[i], comparison);
    for (unsigned i = 0; i < b_count; i++)
        of_b[i] = value_of(&b[i], comparison);
    take_interval(of_a, a_count, of_b, b_count, comparison);
    qsort(comparison->rows, comparison->count, sizeof *comparison->rows, by_time);
    free(of_a);
    free(of_b);
}
