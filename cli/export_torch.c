/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dumps as torch's flight recorder writes them, for torch's own analyser (python -m
 * torch.distributed.flight_recorder.fr_trace FOLDER): a pickle per rank, nccl_trace_rank_N. Read off the analyser of torch
 * 2.11. Collectives only: the analyser takes a message outside of a coalesced group for a call that all ranks lack.
 */
#include "traces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- pickle, protocol 2 ---- */

enum { PICKLE_PAIR = 0x86, PICKLE_TRUE = 0x88, PICKLE_FALSE = 0x89 };

static void put_text(FILE *to, const char *text) {
    uint32_t length = (uint32_t)strlen(text);
    fprintf(to, "X%c%c%c%c", (int)(length & 255), (int)(length >> 8 & 255), (int)(length >> 16 & 255),
            (int)(length >> 24));
    fputs(text, to);
}

static void put_number(FILE *to, int64_t number) {
    fputs("\x8a\x08", to);
    for (unsigned i = 0; i < 8; i++)
        putc((int)((uint64_t)number >> 8 * i & 255), to);
}

static void put_key_number(FILE *to, const char *key, int64_t number) {
    put_text(to, key);
    put_number(to, number);
}

static void put_key_text(FILE *to, const char *key, const char *text) {
    put_text(to, key);
    put_text(to, text);
}

/* A list of one list of one number: the sizes of one tensor of one dimension. */
static void put_sizes(FILE *to, const char *key, uint64_t count) {
    put_text(to, key);
    fputs("](](", to);
    put_number(to, (int64_t)count);
    fputs("ee", to);
}

static void put_types(FILE *to, const char *key, const char *type) {
    put_text(to, key);
    fputs("](", to);
    put_text(to, type);
    putc('e', to);
}

/* ---- ranks ---- */

/* The rank in the job: the launcher's, else that in the largest communicator. */
static int job_rank(const struct trace_set *set, unsigned index) {
    const struct trace_file *file = set->files[index];
    int ranks = -1, rank = (int)index;
    for (unsigned i = 0; i < file->comm_count && file->global_rank < 0; i++)
        if (file->comms[i].identity && file->comms[i].rank >= 0 && file->comms[i].ranks > ranks) {
            ranks = file->comms[i].ranks;
            rank = file->comms[i].rank;
        }
    return file->global_rank >= 0 ? file->global_rank : rank;
}

static const char *ranks_of(const struct trace_set *set, const struct trace_communicator *comm) {
    struct ncr_text text = {0};
    unsigned member;
    ncr_text_add(&text, "[");
    for (int rank = 0; rank < comm->ranks; rank++)
        ncr_text_add(&text, "%s%d", rank ? ", " : "",
                     trace_find_member(comm, rank, &member) ? job_rank(set, comm->members[member].file) : rank);
    ncr_text_add(&text, "]");
    return ncr_text_get(&text);
}

static const char *group_name(const struct trace_communicator *comm) {
    return formatted("%016llx", (unsigned long long)comm->identity);
}

/* ---- entries ---- */

/* What torch calls it, and by how many ranks' shares input and output are larger than the count. */
static const struct shape {
    const char *name;
    unsigned function;
    bool input_of_all, output_of_all;
} shapes[] = {
    {"nccl:all_reduce", TRACE_ncclAllReduce, false, false},
    {"nccl:broadcast", TRACE_ncclBroadcast, false, false},
    {"nccl:reduce", TRACE_ncclReduce, false, false},
    {"nccl:_all_gather_base", TRACE_ncclAllGather, false, true},
    {"nccl:_reduce_scatter_base", TRACE_ncclReduceScatter, true, false},
    {"nccl:all_to_all", TRACE_ncclAlltoAll, true, true},
    {"nccl:gather", TRACE_ncclGather, false, true},
    {"nccl:scatter", TRACE_ncclScatter, true, false},
};

struct writing {
    struct trace_set *set;
    FILE *to;
    unsigned file;
    int64_t number;
};

static const struct shape *shape_of(unsigned function) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].function == (unsigned)trace_call(function)->like)
            return &shapes[i];
    return NULL;
}

static void put_entry(struct writing *writing, const struct trace_record *record, const struct shape *shape) {
    const struct trace_file *file = writing->set->files[writing->file];
    const struct trace_communicator *comm = trace_comm_of(writing->set, file, record);
    const struct trace_instance *instance = trace_pages_item(&writing->set->matching->collectives,
                                                             file->communicator[record->comm], 0, record->call, false);
    uint64_t ranks = comm->ranks > 0 ? (uint64_t)comm->ranks : 1;
    bool complete = instance && instance->seen >= ranks;
    FILE *to = writing->to;
    fputs("}(", to);
    put_key_number(to, "record_id", writing->number++);
    put_key_number(to, "pg_id", file->communicator[record->comm]);
    put_text(to, "process_group");
    put_text(to, group_name(comm));
    put_text(to, comm->label);
    putc(PICKLE_PAIR, to);
    put_key_number(to, "collective_seq_id", (int64_t)record->call);
    put_key_number(to, "p2p_seq_id", 0);
    put_key_number(to, "op_id", (int64_t)record->call);
    put_key_text(to, "profiling_name", shape->name);
    put_key_number(to, "time_created_ns", trace_time(file, record->enter));
    put_sizes(to, "input_sizes", record->count * (shape->input_of_all ? ranks : 1));
    put_sizes(to, "output_sizes", record->count * (shape->output_of_all ? ranks : 1));
    put_types(to, "input_dtypes", trace_type_name(record->type));
    put_types(to, "output_dtypes", trace_type_name(record->type));
    put_key_text(to, "state", complete ? "completed" : "scheduled");
    put_text(to, "time_discovered_started_ns");
    putc('N', to);
    put_text(to, "time_discovered_completed_ns");
    putc('N', to);
    put_text(to, "retired");
    putc(complete ? PICKLE_TRUE : PICKLE_FALSE, to);
    put_text(to, "is_p2p");
    putc(PICKLE_FALSE, to);
    put_key_number(to, "timeout_ms", 600000);
    put_text(to, "frames");
    putc(']', to);
    putc('u', to);
}

static void take_record(void *arg, unsigned file, const struct trace_record *record) {
    struct writing *writing = arg;
    const struct shape *shape = shape_of(record->function);
    if (file == writing->file && shape && record->comm != TRACE_NO_COMM && record->call)
        put_entry(writing, record, shape);
}

static void put_groups(struct writing *writing) {
    const struct trace_file *file = writing->set->files[writing->file];
    FILE *to = writing->to;
    put_text(to, "pg_config");
    fputs("}(", to);
    for (unsigned i = 0; i < file->comm_count; i++) {
        const struct trace_communicator *comm = &writing->set->communicators[file->communicator[i]];
        if (!file->comms[i].identity || comm->ranks < 1)
            continue;
        put_text(to, group_name(comm));
        fputs("}(", to);
        put_key_text(to, "name", group_name(comm));
        put_key_text(to, "desc", comm->label);
        put_key_text(to, "ranks", ranks_of(writing->set, comm));
        putc('u', to);
    }
    putc('u', to);
}

/* The records of one file alone: the set is narrowed for the walk. */
static int write_file(struct trace_set *set, unsigned index, const char *path) {
    struct writing writing = {set, fopen(path, "we"), index, 0};
    if (!writing.to) {
        complain("%s cannot be written: %m", path);
        return EXIT_OUTPUT;
    }
    fputs("\x80\x02}(", writing.to);
    put_key_text(writing.to, "version", "2.6");
    put_groups(&writing);
    put_text(writing.to, "entries");
    fputs("](", writing.to);
    trace_each_record_of(set, index, take_record, &writing);
    fputs("eu.", writing.to);
    if (fclose(writing.to) != 0) {
        complain("%s cannot be written", path);
        return EXIT_OUTPUT;
    }
    return EXIT_FINE;
}

int export_torch(struct trace_set *set, const char *folder) {
    unsigned count = 0;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        complain("%s cannot be made: %m", folder);
        return EXIT_OUTPUT;
    }
    for (unsigned i = 0; i < set->count; i++) {
        if (!set->files[i]->comm_count)
            continue;
        int status = write_file(set, i, formatted("%s/nccl_trace_rank_%d", folder, job_rank(set, i)));
        if (status != EXIT_FINE)
            return status;
        progress_print(NULL, "writing", ++count, set->count);
    }
    line_print(0, "%u ranks; python3 -m torch.distributed.flight_recorder.fr_trace %s", count, folder);
    return EXIT_FINE;
}
