/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces made by hand: what a recorder would leave behind, call by call, at times that the test chooses. Written by the
 * format's own header, so that a reader cannot tell them from real ones.
 */
#ifndef TRACE_WRITER_H
#define TRACE_WRITER_H

#include "format.h"

/* One process. All calls are of `thread` 0 unless it is set. `now` is its clock, ns of CLOCK_MONOTONIC. */
struct trace_writer {
    char *path;
    char *image; /* the file as it will be */
    size_t size;
    struct trace_header *header;
    struct trace_comm *comms;
    struct trace_thread *threads;
    struct trace_peer *peers;
    struct trace_total *totals;
    struct trace_caller *callers;
    struct trace_library *libraries;
    uint32_t *blocks;
    struct trace_record *ring;
    uint64_t now;
    unsigned thread;
    uint64_t at[16]; /* next record of the ring, of each thread */
    uint8_t flags;   /* added to every record */
    uint64_t stream;
};

struct trace_writer *writer_new(const char *folder, const char *host, int pid, unsigned records);
/* Enters the creation of a communicator; writer_made() leaves it. */
unsigned writer_comm(struct trace_writer *writer, uint64_t identity, int ranks, int rank, const char *name);
void writer_made(struct trace_writer *writer, unsigned comm);
/* A call: from its beginning to its end, or the beginning alone. */
void writer_enter(struct trace_writer *writer, unsigned function, unsigned comm, uint64_t count, int type, int op,
                  int peer);
void writer_leave(struct trace_writer *writer, int result);
void writer_call(struct trace_writer *writer, unsigned function, unsigned comm, uint64_t count, int type, int op,
                 int peer);
void writer_group_start(struct trace_writer *writer);
void writer_group_end(struct trace_writer *writer);
void writer_end(struct trace_writer *writer, unsigned comm, unsigned how);
void writer_exit(struct trace_writer *writer); /* exit handlers ran */
/* Writes the file; the writer can go on, and write it again. */
void writer_write(struct trace_writer *writer);
void writer_free(struct trace_writer *writer);

/* Shorthands with the arguments that do not matter. */
void writer_all_reduce(struct trace_writer *writer, unsigned comm, uint64_t count);
void writer_send(struct trace_writer *writer, unsigned comm, uint64_t count, int peer);
void writer_receive(struct trace_writer *writer, unsigned comm, uint64_t count, int peer);

/* CLOCK_MONOTONIC, ns. */
uint64_t writer_clock(void);

#endif
