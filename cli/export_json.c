/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that was recorded, as JSON: what other tools can make their own tables of. docs/json.md has the keys. */
#include "traces.h"

#include <inttypes.h>

struct writing {
    const struct trace_set *set;
    FILE *to;
    const char *between;
};

static void write_record(void *arg, unsigned index, const struct trace_record *record) {
    struct writing *writing = arg;
    const struct trace_file *file = writing->set->files[index];
    const char *caller = trace_caller_name(file, record);
    fprintf(writing->to,
            "%s{\"process\":%u,\"thread\":%u,\"function\":\"%s\",\"communicator\":%d,\"rank\":%d,\"number\":%" PRIu64
            ",\"enter_ns\":%lld,\"leave_ns\":",
            writing->between, index, TRACE_THREAD_OF(record->sequence), trace_call(record->function)->name,
            record->comm == TRACE_NO_COMM ? -1 : (int)file->communicator[record->comm],
            record->comm == TRACE_NO_COMM ? -1 : file->comms[record->comm].rank, record->call,
            (long long)trace_time(file, record->enter));
    if (record->leave)
        fprintf(writing->to, "%lld,\"result\":%u", (long long)trace_time(file, record->leave), record->result);
    else
        fputs("null,\"result\":null", writing->to);
    fprintf(writing->to,
            ",\"count\":%" PRIu64 ",\"type\":%s,\"operator\":%s,\"peer\":%d,\"group\":%u,\"stream\":\"0x%" PRIx64
            "\",\"caller\":%s,\"flags\":%u}",
            record->count, record->type == TRACE_NO_TYPE ? "null" : json_quoted(trace_type_name(record->type)),
            record->op == TRACE_NO_OPERATOR ? "null" : json_quoted(trace_operator_name(record->op)), record->peer,
            record->group, record->stream, caller ? json_quoted(caller) : "null", record->flags);
    writing->between = ",\n";
}

static struct json *process_json(const struct trace_file *file) {
    static const char *const lives[] = {"unknown", "running", "stopped", "exited", "gone"};
    struct json *one = json_object();
    json_add_text(one, "host", file->host);
    json_add_number(one, "pid", file->header.pid);
    json_add_number(one, "global_rank", file->global_rank);
    json_add_text(one, "state", lives[file->life]);
    json_add_text(one, "program", file->header.program);
    json_add_text(one, "trace", file->path);
    json_add_number(one, "made", (long long)file->made);
    json_add_number(one, "kept", (long long)file->kept);
    json_add_text(one, "nccl", file->header.active_version ? version_text(file->header.active_version) : NULL);
    json_add_text(one, "nccl_path", *file->header.active_path ? file->header.active_path : NULL);
    return one;
}

static struct json *communicator_json(const struct trace_set *set, const struct trace_communicator *comm) {
    struct json *one = json_object(), *members = json_list();
    json_add_text(one, "label", comm->label);
    json_add_text(one, "identity", formatted("%016" PRIx64, comm->identity));
    json_add_number(one, "ranks", comm->ranks);
    for (unsigned i = 0; i < comm->count; i++) {
        const struct trace_comm *row = trace_member_row(set, &comm->members[i]);
        struct json *member = json_object();
        json_add_number(member, "rank", row->rank);
        json_add_number(member, "process", comm->members[i].file);
        json_add_number(member, "device", row->device);
        json_add_number(member, "collectives", (long long)row->collectives);
        json_add_number(member, "messages", (long long)row->messages);
        json_add(members, NULL, member);
    }
    json_add(one, "members", members);
    return one;
}

int export_json(struct trace_set *set, const struct trace_findings *findings, FILE *to) {
    struct writing writing = {set, to, "\n"};
    struct json *processes = json_list(), *communicators = json_list();
    for (unsigned i = 0; i < set->count; i++)
        json_add(processes, NULL, process_json(set->files[i]));
    for (unsigned i = 0; i < set->communicator_count; i++)
        json_add(communicators, NULL, communicator_json(set, &set->communicators[i]));
    fprintf(
        to,
        "{\"format\":1,\n\"findings\":%s,\n\"processes\":%s,\n\"communicators\":%s,\n\"clock_error_ns\":%lld,\n\"records\":[",
        json_text(findings_json(set, findings)), json_text(processes), json_text(communicators),
        (long long)set->clock_error);
    trace_each_record(set, write_record, &writing);
    fputs("\n]}\n", to);
    return ferror(to) ? EXIT_OUTPUT : EXIT_FINE;
}
