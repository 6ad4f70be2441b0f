/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time line that chrome://tracing and Perfetto show (Trace Event Format): a process for each rank, a track for each of
 * its threads, a slice for each call, and arrows that join the parts of one collective from the first rank that came to
 * the last.
 */
#include "traces.h"

#include <inttypes.h>

struct writing {
    struct trace_set *set;
    FILE *to;
    const char *between;
    int64_t begin; /* of the time line, ns */
};

static void begin_event(struct writing *writing) {
    fputs(writing->between, writing->to);
    writing->between = ",\n";
}

static unsigned thread_of(const struct trace_file *file, const struct trace_record *record) {
    unsigned index = TRACE_THREAD_OF(record->sequence);
    return index < file->thread_count && file->threads[index].id ? file->threads[index].id : index;
}

static void write_arguments(struct writing *writing, const struct trace_file *file, const struct trace_record *record) {
    const struct trace_communicator *comm = trace_comm_of(writing->set, file, record);
    FILE *to = writing->to;
    fprintf(to, "{\"communicator\":%s,\"number\":%" PRIu64 ",\"count\":%" PRIu64,
            comm ? json_quoted(comm->label) : "null", record->call, record->count);
    if (record->type != TRACE_NO_TYPE)
        fprintf(to, ",\"type\":\"%s\"", trace_type_name(record->type));
    if (record->op != TRACE_NO_OPERATOR)
        fprintf(to, ",\"operator\":\"%s\"", trace_operator_name(record->op));
    if (record->peer != TRACE_NO_PEER)
        fprintf(to, ",\"%s\":%d", trace_call(record->function)->class == TRACE_MESSAGE ? "peer" : "root", record->peer);
    if (trace_caller_name(file, record))
        fprintf(to, ",\"caller\":%s", json_quoted(trace_caller_name(file, record)));
    if (record->group)
        fprintf(to, ",\"group\":%u", record->group);
    fprintf(to, ",\"stream\":\"0x%" PRIx64 "\"", record->stream);
    if (record->flags & TRACE_CAPTURED)
        fputs(",\"captured\":true", to);
    if (!record->leave)
        fputs(",\"inside\":true", to);
    else if (record->result)
        fprintf(to, ",\"result\":\"%s\"", trace_result_name(record->result));
    putc('}', to);
}

/* The first rank that came begins the arrow, the last ends it. Perfetto drops an arrow whose id is no number. */
static void write_arrow(struct writing *writing, unsigned index, const struct trace_record *record, double at) {
    const struct trace_file *file = writing->set->files[index];
    if (record->comm == TRACE_NO_COMM || !record->call || !trace_is_collective(record->function))
        return;
    unsigned communicator = file->communicator[record->comm], member = file->member[record->comm];
    const struct trace_instance *instance =
        trace_pages_item(&writing->set->matching->collectives, communicator, 0, record->call, false);
    if (!instance || instance->seen < 2)
        return;
    const char *phase = member == instance->last_member                            ? "f"
                        : trace_time(file, record->enter) == instance->first_enter ? "s"
                                                                                   : "t";
    begin_event(writing);
    fprintf(writing->to,
            "{\"ph\":\"%s\",\"id\":\"0x%" PRIx64
            "\",\"cat\":\"nccl\",\"name\":\"%s\",\"pid\":%u,\"tid\":%u,\"ts\":%.3f%s}",
            phase, (uint64_t)communicator << 40 | (record->call & 0xffffffffff), trace_call_name(record->function),
            index, thread_of(file, record), at, *phase == 's' ? "" : ",\"bp\":\"e\"");
}

static void write_record(void *arg, unsigned index, const struct trace_record *record) {
    struct writing *writing = arg;
    const struct trace_file *file = writing->set->files[index];
    double begin = (double)(trace_time(file, record->enter) - writing->begin) / 1000;
    int64_t end = record->leave ? trace_time(file, record->leave) : file->now;
    double length = (double)(end - trace_time(file, record->enter)) / 1000;
    begin_event(writing);
    fprintf(writing->to,
            "{\"ph\":\"X\",\"name\":\"%s\",\"cat\":\"nccl\",\"pid\":%u,\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f,\"args\":",
            trace_call_name(record->function), index, thread_of(file, record), begin, length > 0.001 ? length : 0.001);
    write_arguments(writing, file, record);
    putc('}', writing->to);
    write_arrow(writing, index, record, begin);
}

static void write_process(struct writing *writing, unsigned index) {
    const struct trace_file *file = writing->set->files[index];
    const char *name = file->global_rank >= 0
                           ? formatted("rank %d (%s, pid %d)", file->global_rank, file->host, file->header.pid)
                           : formatted("%s, pid %d", file->host, file->header.pid);
    begin_event(writing);
    fprintf(writing->to, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%u,\"args\":{\"name\":%s}}", index,
            json_quoted(name));
    begin_event(writing);
    fprintf(writing->to, "{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":%u,\"args\":{\"sort_index\":%d}}",
            index, file->global_rank >= 0 ? file->global_rank : (int)index);
}

int export_chrome(struct trace_set *set, FILE *to) {
    struct writing writing = {set, to, "\n", INT64_MAX};
    for (unsigned i = 0; i < set->count; i++) {
        int64_t opened = trace_time(set->files[i], set->files[i]->header.opened.ticks);
        writing.begin = opened < writing.begin ? opened : writing.begin;
    }
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", to);
    for (unsigned i = 0; i < set->count; i++)
        write_process(&writing, i);
    trace_each_record(set, write_record, &writing);
    fputs("\n]}\n", to);
    return ferror(to) ? EXIT_OUTPUT : EXIT_FINE;
}
