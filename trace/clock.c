/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times. A stamp is a count of the writer's clock; a pair of instants turns it into the monotonic time of its host.
 * Times of several hosts are aligned by their real-time clocks, corrected where the job itself proves them wrong: a
 * blocking creation of a communicator returns on no rank before it was called on all.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/** The clock of stamps as this process sees it. */
uint64_t trace_ticks_now(unsigned clock) {
    if (clock == TRACE_CLOCK_MONOTONIC)
        return nanoseconds(CLOCK_MONOTONIC);
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return nanoseconds(CLOCK_MONOTONIC);
#endif
}

/* The rate between two instants; 0 if they are too near to tell. */
static double rate_between(const struct trace_instant *a, uint64_t ticks, uint64_t ns) {
    if (ticks <= a->ticks || ns <= a->monotonic || ns - a->monotonic < 100000)
        return 0;
    double rate = (double)(ns - a->monotonic) / (double)(ticks - a->ticks);
    return rate > 1e-3 && rate < 1e3 ? rate : 0;
}

/** Finds the rate of the file's clock, and the time on it. */
void trace_clock_read(struct trace_file *file) {
    const struct trace_header *header = &file->header;
    const struct trace_instant *last = header->observed_at.sequence ? &header->observed_at
                                       : header->latest.sequence    ? &header->latest
                                                                    : &header->opened;
    uint64_t ticks = last->ticks, ns = last->monotonic;
    if (trace_is_of_this_host(file) && !header->observed_at.sequence) { /* the counter runs on, whoever looks at it */
        ticks = trace_ticks_now(header->clock);
        ns = nanoseconds(CLOCK_MONOTONIC);
    }
    double rate = rate_between(&header->opened, ticks, ns);
    file->ns_per_tick = header->clock == TRACE_CLOCK_MONOTONIC ? 1 : rate > 0 ? rate : 0.5;
    file->zero_ticks = header->opened.ticks;
    file->zero_ns = header->opened.monotonic & INT64_MAX;
    file->now = trace_time(file, ticks);
}

/** Aligned time of a stamp, ns. Stamps of damaged files give times without a meaning, never an overflow. */
int64_t trace_time(const struct trace_file *file, uint64_t ticks) {
    double since = (double)(int64_t)(ticks - file->zero_ticks) * file->ns_per_tick;
    double time = since + (double)file->zero_ns + (double)file->host_shift;
    if (!(since > -4e18 && since < 4e18 && time > -4e18 && time < 4e18))
        return 0;
    return (int64_t)((uint64_t)(int64_t)since + file->zero_ns + (uint64_t)file->host_shift);
}

/* ---- several hosts ---- */

#define MOST_SHIFT 2000000000000000000 /* 63 years; more is damage */

/* By how much the monotonic clock of b's host is behind that of a's, according to their real-time clocks. */
static int64_t real_difference(const struct trace_file *a, const struct trace_file *b) {
    const struct trace_instant *of_a = &a->header.opened, *of_b = &b->header.opened;
    int64_t difference = (int64_t)((of_b->real - of_b->monotonic) - (of_a->real - of_a->monotonic)); /* NOLINT */
    return difference > -MOST_SHIFT && difference < MOST_SHIFT ? difference : 0;
}

/* For each host: what its clock may be shifted by, relative to the first host's, as creations prove it. */
struct bounds {
    int64_t low, high;
};

static void prove(const struct trace_set *set, const struct trace_communicator *comm, struct bounds *bounds) {
    for (unsigned i = 0; i < comm->count; i++) {
        const struct trace_file *first = set->files[comm->members[i].file];
        const struct trace_comm *of_first = trace_member_row(set, &comm->members[i]);
        if (first->host_index != 0 || !of_first->leave)
            continue;
        for (unsigned j = 0; j < comm->count; j++) {
            const struct trace_file *other = set->files[comm->members[j].file];
            const struct trace_comm *of_other = trace_member_row(set, &comm->members[j]);
            struct bounds *bound = &bounds[other->host_index];
            if (other->host_index == 0 || !of_other->leave || (of_first->flags | of_other->flags) & TRACE_NONBLOCKING)
                continue;
            int64_t high = trace_time(first, of_first->leave) - trace_time(other, of_other->enter);
            int64_t low = trace_time(first, of_first->enter) - trace_time(other, of_other->leave);
            bound->high = high < bound->high ? high : bound->high;
            bound->low = low > bound->low ? low : bound->low;
        }
    }
}

/* Every member of a large communicator with every other would be much work for one bound: some of each host will do. */
static void prove_all(const struct trace_set *set, struct bounds *bounds) {
    for (unsigned i = 0; i < set->communicator_count; i++)
        if (set->communicators[i].made && set->communicators[i].count <= 1024)
            prove(set, &set->communicators[i], bounds);
}

static void shift_hosts(struct trace_set *set, const int64_t *shifts) {
    for (unsigned i = 0; i < set->count; i++) {
        set->files[i]->host_shift += shifts[set->files[i]->host_index];
        set->files[i]->now += shifts[set->files[i]->host_index];
    }
}

/** Aligns the times of all files. Needs the communicators. */
void trace_clocks_align(struct trace_set *set) {
    if (set->hosts < 2)
        return;
    int64_t *shifts = trace_take(set->hosts, sizeof *shifts);
    struct bounds *bounds = trace_take(set->hosts, sizeof *bounds);
    const struct trace_file *reference = NULL;
    for (unsigned i = 0; i < set->count && !reference; i++)
        reference = set->files[i]->host_index == 0 ? set->files[i] : NULL;
    for (unsigned i = 0; i < set->count; i++)
        shifts[set->files[i]->host_index] = real_difference(reference, set->files[i]);
    shift_hosts(set, shifts);
    for (unsigned host = 0; host < set->hosts; host++)
        bounds[host] = (struct bounds){-4000000000000000000, 4000000000000000000};
    prove_all(set, bounds);
    set->clock_error = 0;
    for (unsigned host = 1; host < set->hosts; host++) {
        struct bounds *bound = &bounds[host];
        bool proven = bound->low <= bound->high && bound->high - bound->low < 4000000000000000000;
        shifts[host] = !proven ? 0 : bound->low > 0 ? bound->low : bound->high < 0 ? bound->high : 0;
        int64_t error = proven ? bound->high - bound->low : 1000000000;
        set->clock_error = error > set->clock_error ? error : set->clock_error;
    }
    shifts[0] = 0;
    shift_hosts(set, shifts);
    free(shifts);
    free(bounds);
}
