/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What NCCL's RAS says of a job that was not traced. RAS (from NCCL 2.24 on) answers a client in each process; it knows
 * which ranks do not answer it, and how many collectives each rank has launched, by type from 2.26 on. It does not know
 * arguments, messages, groups, or calls that were captured into graphs.
 */
#ifndef TRACE_RAS_H
#define TRACE_RAS_H

#include "loader.h"

/* One statement of an answer about one rank, or about the size of the rest. */
struct ras_rank {
    char communicator[32]; /* hash */
    char host[64];
    char function[32]; /* that the count is of; "" from 2.24 and 2.25, which count all together */
    int rank, pid;     /* -1 unknown */
    long long count;   /* launched; -1: it gave no data */
    bool silent;       /* RAS has no answer of it; `dead`: and has given it up */
    bool dead;
    unsigned many; /* ranks that it is about, where they are not named */
};

struct ras_answer {
    char version[48];
    struct ras_rank *list;
    unsigned count;
    unsigned communicators;
};

void ras_read(struct ras_answer *answer, const char *text);
bool ras_judge(const struct ras_answer *answer, struct ncr_text *sentence);
void ras_free(struct ras_answer *answer);

#endif
