/* SPDX-License-Identifier: Apache-2.0 */
/* Running processes, as /proc shows them. Part of cli.h, which says what holds. */
#ifndef NCR_PROCESSES_H
#define NCR_PROCESSES_H

#include <stdbool.h>

struct json;

/* ---- worker.c: reading that may hang, in children ---- */

#define WORKER_STALL_MS 2000 /* for one item */
#define WORKER_TIME_MS 15000 /* for all */

typedef void worker_item(void *arg, unsigned item);

void *worker_memory(size_t size);
const char *worker_text(const char *text);
unsigned worker_run(unsigned count, worker_item *read, worker_item *stuck, void *arg);

/* ---- process.c: what runs, by /proc; process_read.c: one process ---- */

#define MOST_MAPPED 8

struct mapped_nccl {
    const char *path;     /* as in the map */
    bool deleted;         /* the file was removed or replaced since */
    int version;          /* as the mapped file says, 0 if unknown */
    const char *build_id; /* or NULL */
    const char *problem;  /* why it could not be read, or NULL */
};

struct process {
    int pid, parent;
    unsigned user;
    bool running;      /* it is a process with a command line, and has not ended */
    bool readable;     /* its maps and environment could be read */
    bool unresponsive; /* reading it took too long */
    bool partly;       /* its map or environment is larger than what is read of one */
    long long age;     /* seconds since its start, -1 if unknown */
    const char *command;
    const char *shim; /* the mapped preload library, or NULL */
    struct mapped_nccl nccls[MOST_MAPPED];
    unsigned nccl_count;
    const char *listed;   /* the preload library's entry in its LD_PRELOAD, or NULL */
    bool listed_is_there; /* that file exists in the root folder of the process */
    const char *redirect; /* its NCCL_REDIRECT, or NULL */
    bool rules;           /* it has NCCL_REDIRECT_RULES, or calls nccl_redirect_use(): several NCCLs are meant */
    bool rank;            /* its environment says that it is one of a job */
    bool ignores_preload; /* statically linked, 32-bit or set-uid: a preload has no effect */
    bool lost;            /* a process above it has the preload library, and it has not */
    const char *finding;  /* what is wrong with it, or NULL */
    const char *fix;
    const char *note; /* what is worth knowing, or NULL */
};

struct processes {
    struct process *list;
    unsigned count, hidden; /* hidden: processes of other users that could not be read */
    unsigned unread;        /* for which there was no time */
};

void processes_read(struct processes *processes);
const struct process *process_of(const struct processes *processes, int pid);
bool process_concerned(const struct process *process);
void process_read(struct process *process, int pid);
int nccl_version_of(const char *path);
struct json *ps_process_json(const struct process *process); /* ps.c */
int pid_of_word(const char *word);

#endif
