/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files are of the job that is meant: a folder keeps what earlier jobs left. Files belong together that share a
 * communicator, or that a launcher started as one job.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

static unsigned root_of(unsigned *parents, unsigned at) {
    while (parents[at] != at)
        at = parents[at] = parents[parents[at]];
    return at;
}

static void join(unsigned *parents, unsigned a, unsigned b) {
    a = root_of(parents, a);
    b = root_of(parents, b);
    parents[a > b ? a : b] = a > b ? b : a;
}

struct name {
    uint64_t identity;
    unsigned file;
};

static int by_identity(const void *a, const void *b) {
    const struct name *one = a, *other = b;
    return one->identity < other->identity ? -1 : one->identity > other->identity;
}

static void join_by_communicators(const struct trace_set *set, unsigned *parents) {
    struct name *names = NULL;
    size_t count = 0;
    for (unsigned i = 0; i < set->count; i++)
        for (unsigned row = 0; row < set->files[i]->comm_count; row++) {
            const uint64_t ids[] = {set->files[i]->comms[row].identity, set->files[i]->comms[row].alias};
            for (unsigned k = 0; k < 2; k++) {
                if (!ids[k])
                    continue;
                names = trace_more(names, count, sizeof *names);
                names[count++] = (struct name){ids[k], i};
            }
        }
    if (count)
        qsort(names, count, sizeof *names, by_identity);
    for (size_t i = 1; i < count; i++)
        if (names[i].identity == names[i - 1].identity)
            join(parents, names[i].file, names[i - 1].file);
    free(names);
}

/* Ranks that have not come to the first communicator yet are of the job as well. */
static void join_by_launcher(const struct trace_set *set, unsigned *parents) {
    static const char *const variables[] = {"SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"};
    for (size_t v = 0; v < sizeof variables / sizeof *variables; v++)
        for (unsigned i = 0; i < set->count; i++) {
            const char *value = trace_file_variable(set->files[i], variables[v]);
            for (unsigned k = 0; value && strcmp(value, "none") != 0 && k < i; k++) {
                const char *other = trace_file_variable(set->files[k], variables[v]);
                if (other && strcmp(value, other) == 0 &&
                    set->files[i]->header.session == set->files[k]->header.session)
                    join(parents, i, k);
            }
        }
}

static bool lives(const struct trace_file *file) {
    return file->life == TRACE_RUNNING || file->life == TRACE_STOPPED || file->life == TRACE_LIFE_UNKNOWN;
}

/** For each file the first file of its job; free() it. Before communicators are joined. */
unsigned *trace_jobs(const struct trace_set *set) {
    unsigned *parents = trace_take(set->count, sizeof *parents);
    for (unsigned i = 0; i < set->count; i++)
        parents[i] = i;
    join_by_communicators(set, parents);
    join_by_launcher(set, parents);
    for (unsigned i = 0; i < set->count; i++)
        parents[i] = root_of(parents, i);
    return parents;
}

/** Keeps the files of jobs that run, or those of the last one if none does. Before communicators are joined. */
void trace_keep_current(struct trace_set *set) {
    unsigned *jobs = trace_jobs(set);
    bool *current = trace_take(set->count, sizeof *current), *wanted = trace_take(set->count, sizeof *wanted),
         any = false;
    unsigned last = 0;
    for (unsigned i = 0; i < set->count; i++) {
        bool has_comms = set->files[i]->comm_count > 0;
        current[jobs[i]] |= lives(set->files[i]) && has_comms;
        any |= lives(set->files[i]) && has_comms;
        if (has_comms &&
            (!set->files[last]->comm_count || set->files[i]->header.latest.real > set->files[last]->header.latest.real))
            last = i;
    }
    if (!any && set->count)
        current[jobs[last]] = true;
    for (unsigned i = 0; i < set->count; i++)
        wanted[i] = current[jobs[i]];
    trace_set_keep(set, wanted);
    free(jobs);
    free(current);
    free(wanted);
}
