/* SPDX-License-Identifier: Apache-2.0 */
/* A job whose traces are made by hand, and what the reader concludes from them. */
#ifndef NCR_TRACE_JOB_H
#define NCR_TRACE_JOB_H

#include "support.h"

#include "trace.h"
#include "trace_writer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 16, FLOAT = 7, WORLD = 0xabcd };

/* A job: each rank a writer, whose process is a child of this test that sleeps. */
struct job {
    struct trace_writer *ranks[MOST];
    int pids[MOST];
    unsigned count;
    const char *folder;
    struct trace_set set;
    struct trace_findings findings;
};

static inline void begin(struct job *job, unsigned count) {
    *job = (struct job){.count = count, .folder = fresh_folder()};
    for (unsigned i = 0; i < count; i++) {
        job->pids[i] = fork();
        if (job->pids[i] == 0) {
            alarm(120);
            pause();
            _exit(0);
        }
        job->ranks[i] = writer_new(job->folder, "node1", job->pids[i], 1024);
        job->ranks[i]->now -= 75000000000u; /* 75 s ago, so that later calls are before the reading */
    }
}

static inline void make_comm(struct job *job, uint64_t identity, const char *name) {
    for (unsigned i = 0; i < job->count; i++) {
        unsigned comm = writer_comm(job->ranks[i], identity, (int)job->count, (int)i, name);
        job->ranks[i]->now += 1000000;
        writer_made(job->ranks[i], comm);
    }
}

static inline void all_reduce(struct job *job, unsigned times) {
    for (unsigned k = 0; k < times; k++)
        for (unsigned i = 0; i < job->count; i++)
            writer_all_reduce(job->ranks[i], 0, 1024);
}

static inline const struct trace_finding *judge(struct job *job, bool quiet) {
    for (unsigned i = 0; i < job->count; i++)
        if (job->ranks[i])
            writer_write(job->ranks[i]);
    trace_set_add(&job->set, job->folder);
    trace_comms_join(&job->set);
    trace_clocks_align(&job->set);
    trace_match(&job->set, NULL, NULL);
    for (unsigned i = 0; i < job->set.count; i++)
        job->set.files[i]->moved = !quiet;
    trace_judge(&job->set, &job->findings);
    for (unsigned i = 0; i < job->findings.count; i++)
        print_message("    %s, %s: %s%s%s\n", trace_kind_name(job->findings.list[i].kind),
                      trace_certainty_name(job->findings.list[i].certainty),
                      ncr_text_get(&job->findings.list[i].sentence), job->findings.list[i].doubts.length ? " | " : "",
                      ncr_text_get(&job->findings.list[i].doubts));
    return &job->findings.list[0];
}

static inline void end(struct job *job) {
    trace_findings_free(&job->findings);
    trace_set_close(&job->set);
    for (unsigned i = 0; i < job->count; i++) {
        kill(job->pids[i], SIGKILL);
        waitpid(job->pids[i], NULL, 0);
        if (job->ranks[i])
            writer_free(job->ranks[i]);
    }
}

/* The first finding: its kind, the call's number, the rank it is about (-1: not checked), and a part of the sentence. */
static inline void expect(struct job *job, enum trace_kind kind, uint64_t call, int rank, const char *part) {
    const struct trace_finding *finding = judge(job, true);
    assert_string_equal(trace_kind_name(finding->kind), trace_kind_name(kind));
    assert_int_equal(finding->call, call);
    if (rank >= 0) {
        assert_true(finding->member_count >= 1);
        assert_int_equal(job->set.communicators[finding->communicator].members[finding->members[0]].rank, rank);
    }
    assert_contains(ncr_text_get(&finding->sentence), part);
    end(job);
}

#endif
