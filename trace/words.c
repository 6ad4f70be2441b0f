/* SPDX-License-Identifier: Apache-2.0 */
/* How calls, ranks, processes and times are put into words. */
#include "trace.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/** A sentence begins at this place of the text. */
void trace_say_capital(struct ncr_text *text, size_t at) {
    if (text->data && at < text->length)
        text->data[at] = (char)toupper((unsigned char)text->data[at]);
}

/** "AllReduce #1842". */
void trace_say_call(struct ncr_text *text, unsigned function, uint64_t call) {
    ncr_text_add(text, "%s", function ? trace_call_name(function) : "call");
    if (call)
        ncr_text_add(text, " #%llu", (unsigned long long)call);
}

/** "count 1024, float32, sum, root 0". */
void trace_say_arguments(struct ncr_text *text, const struct trace_record *record) {
    bool message = trace_call(record->function)->class == TRACE_MESSAGE;
    const char *between = "";
    if (record->type != TRACE_NO_TYPE) {
        ncr_text_add(text, "count %llu, %s", (unsigned long long)record->count, trace_type_name(record->type));
        between = ", ";
    }
    if (record->op != TRACE_NO_OPERATOR) {
        ncr_text_add(text, "%s%s", between, trace_operator_name(record->op));
        between = ", ";
    }
    if (record->peer != TRACE_NO_PEER)
        ncr_text_add(text, "%s%s %d", between, message ? "peer" : "root", record->peer);
}

/** "62 s", "350 ms", "2 h 5 min". */
void trace_say_duration(struct ncr_text *text, int64_t ns) {
    long long ms = ns > 0 ? ns / 1000000 : 0;
    if (ms < 1000)
        ncr_text_add(text, "%lld ms", ms);
    else if (ms < 10000)
        ncr_text_add(text, "%lld.%lld s", ms / 1000, ms / 100 % 10);
    else if (ms < 600000)
        ncr_text_add(text, "%lld s", ms / 1000);
    else if (ms < 3600000)
        ncr_text_add(text, "%lld min", ms / 60000);
    else
        ncr_text_add(text, "%lld h %lld min", ms / 3600000, ms / 60000 % 60);
}

/** "3", "0 and 2", "0-2, 5 and 7": numbers in ascending order. */
void trace_say_numbers(struct ncr_text *text, const int *numbers, unsigned count) {
    enum { MOST_RANGES = 12 };
    unsigned ranges = 0;
    for (unsigned i = 0; i < count;) {
        unsigned end = i;
        while (end + 1 < count && numbers[end + 1] == numbers[end] + 1)
            end++;
        if (end == i + 1)
            end = i; /* "3, 4" reads better than "3-4" */
        if (ranges == MOST_RANGES) {
            ncr_text_add(text, " and %u more", count - i);
            return;
        }
        ncr_text_add(text, "%s%d", !ranges ? "" : end + 1 >= count ? " and " : ", ", numbers[i]);
        if (end > i)
            ncr_text_add(text, "-%d", numbers[end]);
        ranges++;
        i = end + 1;
    }
}

static void say_process(struct ncr_text *text, const struct trace_set *set, const struct trace_communicator *comm,
                        const struct trace_member *member) {
    const struct trace_file *file = set->files[member->file];
    ncr_text_add(text, " (");
    if (file->global_rank >= 0 && file->global_rank != member->rank && comm)
        ncr_text_add(text, "global rank %d, ", file->global_rank);
    ncr_text_add(text, "%s, pid %d)", file->host, file->header.pid);
}

/** "rank 3 (node2, pid 812)", "ranks 0-2 and 5". */
void trace_say_members(struct ncr_text *text, const struct trace_set *set, const struct trace_communicator *comm,
                       const unsigned *members, unsigned count) {
    int *ranks = trace_take(count, sizeof *ranks);
    unsigned known = 0;
    for (unsigned i = 0; i < count; i++)
        if (comm->members[members[i]].rank >= 0)
            ranks[known++] = comm->members[members[i]].rank;
    if (known) {
        ncr_text_add(text, known == 1 ? "rank " : "ranks ");
        trace_say_numbers(text, ranks, known);
    }
    if (known < count)
        ncr_text_add(text, "%s%u rank%s of unknown number", known ? " and " : "", count - known,
                     count - known == 1 ? "" : "s");
    if (count == 1)
        say_process(text, set, comm, &comm->members[members[0]]);
    free(ranks);
}

/** "tp0 (8 ranks)". */
void trace_say_comm(struct ncr_text *text, const struct trace_communicator *comm) {
    ncr_text_add(text, "%s", comm->label);
    if (comm->ranks > 0)
        ncr_text_add(text, " (%d rank%s)", comm->ranks, comm->ranks == 1 ? "" : "s");
}

/** The time of the newest look at any file. */
int64_t trace_set_now(const struct trace_set *set) {
    int64_t now = 0;
    for (unsigned i = 0; i < set->count; i++) {
        const struct trace_file *file = set->files[i];
        int64_t at = file->life == TRACE_GONE || file->life == TRACE_EXITED ? file->newest : file->now;
        now = at > now ? at : now;
    }
    return now;
}

static void say_last_call(struct ncr_text *text, const struct trace_set *set, const struct trace_file *file) {
    const struct trace_record *last = NULL;
    unsigned finished = file->tail_count - file->inside_count;
    for (unsigned i = 0; i < finished; i++)
        if (!last || file->tail[i].leave >= last->leave)
            last = &file->tail[i];
    if (!last) {
        ncr_text_add(text, "it has finished no call");
        return;
    }
    const struct trace_communicator *comm = trace_comm_of(set, file, last);
    ncr_text_add(text, "its last finished call is ");
    trace_say_call(text, last->function, last->call);
    if (comm)
        ncr_text_add(text, " on %s", comm->label);
    ncr_text_add(text, ", ");
    trace_say_duration(text, trace_set_now(set) - trace_time(file, last->leave));
    ncr_text_add(text, " ago");
}

static void say_inside(struct ncr_text *text, const struct trace_set *set, const struct trace_file *file) {
    const struct trace_record *inside = &file->tail[file->tail_count - file->inside_count];
    const struct trace_communicator *comm = trace_comm_of(set, file, inside);
    ncr_text_add(text, "inside ");
    trace_say_call(text, inside->function, inside->call);
    if (comm)
        ncr_text_add(text, " on %s", comm->label);
    ncr_text_add(text, " for ");
    trace_say_duration(text, trace_set_now(set) - trace_time(file, inside->enter));
}

/** What a rank is doing, a whole sentence: "Rank 3 is alive and outside of NCCL; its last finished call is …". */
void trace_say_state(struct ncr_text *text, const struct trace_set *set, const struct trace_communicator *comm,
                     unsigned member) {
    const struct trace_file *file = set->files[comm->members[member].file];
    static const char *const lives[] = {"of unknown state (its host was not asked)", "alive",
                                        "stopped (SIGSTOP or a debugger)", "gone: it has exited",
                                        "gone: killed, or ended by _exit"};
    if (comm->members[member].rank >= 0)
        ncr_text_add(text, "Rank %d's process is %s", comm->members[member].rank, lives[file->life]);
    else
        ncr_text_add(text, "Process %d is %s", file->header.pid, lives[file->life]);
    if (file->inside_count) {
        ncr_text_add(text, file->life == TRACE_GONE || file->life == TRACE_EXITED ? ", it was " : " and ");
        say_inside(text, set, file);
    } else if (file->life != TRACE_GONE && file->life != TRACE_EXITED) {
        ncr_text_add(text, " and outside of NCCL");
    }
    ncr_text_add(text, "; ");
    say_last_call(text, set, file);
    ncr_text_add(text, ".");
}

/** The library that called, by its file name; NULL if it is not known. */
const char *trace_caller_name(const struct trace_file *file, const struct trace_record *record) {
    if (record->caller >= file->caller_count || !*file->callers[record->caller].path)
        return NULL;
    const char *path = file->callers[record->caller].path, *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
