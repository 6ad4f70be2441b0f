/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders that contradict each other. A stream runs its calls one after the other, and a collective ends nowhere before it
 * has begun everywhere; so if one rank puts A before B on a stream and another one B before A, neither ends, although
 * every rank has made every call. Found as a cycle in the graph of calls, with the calls of one group taken as
 * simultaneous. Looks at the newest calls of each rank: an older cycle would have stopped the job there.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

/* A place of the graph: a collective, or what stands between two calls (or groups) of one rank. */
struct place {
    unsigned *next;
    unsigned next_count;
    unsigned file; /* whose step leads out of here, of a place between calls */
    struct trace_record record;
};

struct graph {
    struct place *places;
    unsigned count;
    struct trace_pages numbers; /* of unsigned: place + 1 of a collective */
};

static unsigned new_place(struct graph *graph) {
    graph->places = trace_more(graph->places, graph->count, sizeof *graph->places);
    graph->places[graph->count] = (struct place){0};
    return graph->count++;
}

static void connect(struct graph *graph, unsigned from, unsigned to) {
    struct place *place = &graph->places[from];
    place->next = trace_more(place->next, place->next_count, sizeof *place->next);
    place->next[place->next_count++] = to;
}

static unsigned place_of(struct graph *graph, const struct trace_file *file, const struct trace_record *record) {
    unsigned *number = trace_pages_item(&graph->numbers, file->communicator[record->comm], 0, record->call, true);
    if (!*number)
        *number = new_place(graph) + 1;
    return *number - 1;
}

static bool counts(const struct trace_record *record) {
    return record->comm != TRACE_NO_COMM && record->call && trace_call(record->function)->class == TRACE_COLLECTIVE &&
           !(record->flags & TRACE_CAPTURED);
}

static bool same_group(const struct trace_record *a, const struct trace_record *b) {
    return a->group && a->group == b->group && TRACE_THREAD_OF(a->sequence) == TRACE_THREAD_OF(b->sequence);
}

/*
 * The legacy and the per-thread stream have the same number on every device. If the device is not known, the rank is
 * used for it: ranks of one process are on different devices.
 */
static uint64_t stream_of(const struct trace_file *file, const struct trace_record *record) {
    const struct trace_comm *comm = &file->comms[record->comm];
    uint64_t device = (uint32_t)(comm->device >= 0 ? comm->device : comm->rank);
    return record->stream > 2 ? record->stream : record->stream | device << 8;
}

/* The calls of one stream of one rank, in order: between two that are in no common group stands a place. */
static void add_stream(struct graph *graph, const struct trace_set *set, unsigned index, uint64_t stream) {
    const struct trace_file *file = set->files[index];
    const struct trace_record *before = NULL;
    unsigned gap = 0;
    bool any_gap = false;
    for (unsigned i = 0; i < file->tail_count; i++) {
        const struct trace_record *record = &file->tail[i];
        if (!counts(record) || stream_of(file, record) != stream)
            continue;
        if (before && !same_group(before, record)) {
            gap = new_place(graph);
            graph->places[gap].file = index;
            for (unsigned k = i; k-- > 0;) { /* all of the group before lead here */
                const struct trace_record *earlier = &file->tail[k];
                if (!counts(earlier) || stream_of(file, earlier) != stream)
                    continue;
                if (earlier != before && !same_group(earlier, before))
                    break;
                connect(graph, place_of(graph, file, earlier), gap);
                graph->places[gap].record = *earlier;
            }
            any_gap = true;
        }
        unsigned place = place_of(graph, file, record);
        if (any_gap)
            connect(graph, gap, place);
        before = record;
    }
}

static void add_file(struct graph *graph, const struct trace_set *set, unsigned index) {
    const struct trace_file *file = set->files[index];
    for (unsigned i = 0; i < file->tail_count; i++) {
        bool seen = !counts(&file->tail[i]);
        for (unsigned k = 0; k < i && !seen; k++)
            seen = counts(&file->tail[k]) && stream_of(file, &file->tail[k]) == stream_of(file, &file->tail[i]);
        if (!seen)
            add_stream(graph, set, index, stream_of(file, &file->tail[i]));
    }
}

/* Depth first, with a stack of its own: the graph may be as deep as it is large. Returns the length of a cycle on `path`. */
static unsigned find_cycle(const struct graph *graph, unsigned **path) {
    enum { NEW, OPEN, DONE };
    unsigned char *state = trace_take(graph->count, 1);
    unsigned *stack = trace_take(graph->count, sizeof *stack), *at = trace_take(graph->count, sizeof *at), found = 0;
    for (unsigned begin = 0; begin < graph->count && !found; begin++) {
        unsigned depth = 0;
        if (state[begin] != NEW)
            continue;
        stack[depth++] = begin;
        state[begin] = OPEN;
        while (depth && !found) {
            const struct place *place = &graph->places[stack[depth - 1]];
            if (at[stack[depth - 1]] == place->next_count) {
                state[stack[--depth]] = DONE;
                continue;
            }
            unsigned next = place->next[at[stack[depth - 1]]++];
            if (state[next] == NEW) {
                state[next] = OPEN;
                stack[depth++] = next;
            } else if (state[next] == OPEN) {
                unsigned first = depth;
                while (stack[first - 1] != next)
                    first--;
                found = depth - first + 1;
                memmove(stack, stack + first - 1, found * sizeof *stack);
            }
        }
    }
    free(state);
    free(at);
    *path = stack;
    return found;
}

/** Finds a cycle; its steps are the calls, each with a rank that makes it before the next one. Returns how many. */
unsigned trace_order_cycle(const struct trace_set *set, struct trace_step **steps) {
    struct graph graph = {.numbers = {.item = sizeof(unsigned)}};
    unsigned *path, count = 0;
    *steps = NULL;
    for (unsigned i = 0; i < set->count; i++)
        add_file(&graph, set, i);
    unsigned length = find_cycle(&graph, &path);
    for (unsigned i = 0; i < length; i++) {
        const struct place *place = &graph.places[path[i]];
        if (!place->record.sequence)
            continue;
        *steps = trace_more(*steps, count, sizeof **steps);
        (*steps)[count++] = (struct trace_step){place->file, place->record};
    }
    free(path);
    for (unsigned i = 0; i < graph.count; i++)
        free(graph.places[i].next);
    free(graph.places);
    trace_pages_free(&graph.numbers);
    return count;
}
