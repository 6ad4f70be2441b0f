/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: runs the queued steps of all communicators of a group together, as far as the pipes allow, until they are
 * empty. Nothing here blocks on one step, so that any exchange pattern posted in a group completes.
 *
 * Which steps may run at the same time:
 *   - steps that use the same pipe run in the order of the queue, since a pipe keeps order;
 *   - receives of collectives run one after the other, so that a reduction has the same order, hence the same rounding,
 *     on every run, and all ranks see identical results. Sends never wait for receives, so this cannot deadlock:
 *     whatever a rank waits for, its peer is already pushing;
 *   - STEP_OWN and STEP_FINISH wait for all steps before them and hold back all after them.
 */
#include "backend.h"

#include <stdlib.h>
#include <string.h>

/*
 * How long to sleep before looking again. A thread that drives several communicators cannot sleep on all their bells at
 * once; it looks often instead.
 */
static const double SLEEP_ONE = 0.1, SLEEP_SEVERAL = 0.001;

ncclResult_t engine_add(ncclComm_t comm, enum channel channel, const struct step *step) {
    struct queue *queue = &comm->queues[channel];
    bool reads = step->kind == STEP_SEND || step->kind == STEP_OWN;
    bool writes = step->kind != STEP_SEND;
    if (step->bytes > 0 && ((reads && !step->from) || (writes && !step->to)))
        return fail(ncclInvalidArgument, "a buffer is NULL where %zu bytes are to be moved", step->bytes);
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity ? 2 * queue->capacity : 16;
        struct step *steps = realloc(queue->steps, capacity * sizeof *steps);
        if (!steps)
            return fail(ncclSystemError, "out of memory for %zu steps", capacity);
        queue->steps = steps;
        queue->capacity = capacity;
    }
    queue->steps[queue->count++] = *step;
    group_add(comm);
    return ncclSuccess;
}

void engine_drop(ncclComm_t comm) {
    for (int channel = 0; channel < CHANNELS; channel++) {
        struct queue *queue = &comm->queues[channel];
        for (size_t i = 0; i < queue->count; i++)
            free(queue->steps[i].scratch);
        queue->count = queue->first = 0;
    }
}

/* A chunk is a full slot or the rest of a step. Slots hold whole elements of every type. */
static size_t next_chunk(const struct step *step) {
    size_t rest = step->bytes - step->done;
    return rest < SLOT_BYTES ? rest : SLOT_BYTES;
}

static bool send_chunk(struct pipe *pipe, struct step *step) {
    size_t chunk = next_chunk(step);
    struct slot *slot = pipe_begin_write(pipe);
    if (!slot)
        return false;
    memcpy(slot->data, step->from + step->done, chunk);
    if (step->how_set)
        reduction_prepare(&step->how, step->type, slot->data, chunk / type_size(step->type));
    slot->bytes = chunk;
    pipe_end_write(pipe);
    step->done += chunk;
    return true;
}

static bool receive_chunk(ncclComm_t comm, struct pipe *pipe, struct step *step, ncclResult_t *result) {
    size_t chunk = next_chunk(step);
    const struct slot *slot = pipe_begin_read(pipe);
    if (!slot)
        return false;
    if (slot->bytes != chunk) {
        *result = fail(ncclInvalidUsage,
                       "rank %d sent %zu bytes where rank %d expects %zu: calls, counts or types "
                       "of the ranks differ",
                       step->peer, slot->bytes, comm->rank, chunk);
        return false;
    }
    if (step->kind == STEP_REDUCE)
        reduction_combine(&step->how, step->type, step->to + step->done, slot->data, chunk / type_size(step->type));
    else
        memcpy(step->to + step->done, slot->data, chunk);
    pipe_end_read(pipe);
    step->done += chunk;
    return true;
}

/* Moves what can be moved now; *moved becomes true if that was anything. */
static ncclResult_t advance_transfer(ncclComm_t comm, enum channel channel, struct step *step, bool *moved) {
    ncclResult_t result = ncclSuccess;
    bool sending = step->kind == STEP_SEND, ring = false;
    int from = sending ? comm->rank : step->peer, to = sending ? step->peer : comm->rank;
    struct pipe *pipe = segment_pipe(comm->segment, comm->nranks, channel, from, to);
    while (step->done < step->bytes && (sending ? send_chunk(pipe, step) : receive_chunk(comm, pipe, step, &result)))
        ring = true;
    if (ring)
        bell_ring(&comm->segment->members[step->peer]);
    step->complete = step->done == step->bytes;
    *moved |= ring || step->complete;
    return result;
}

static void run_local(struct step *step) {
    size_t count = step->bytes / type_size(step->type);
    if (step->kind == STEP_OWN && step->bytes > 0) {
        memmove(step->to, step->from, step->bytes);
        if (step->how_set)
            reduction_prepare(&step->how, step->type, step->to, count);
    }
    if (step->kind == STEP_FINISH && step->how_set)
        reduction_finish(&step->how, step->type, step->to, count);
    step->complete = true;
}

static ncclResult_t advance_queue(ncclComm_t comm, enum channel channel, bool *moved) {
    struct queue *queue = &comm->queues[channel];
    bool *sending = comm->busy, *receiving = comm->busy + comm->nranks;
    bool earlier_open = false;
    memset(comm->busy, 0, 2 * (size_t)comm->nranks * sizeof *comm->busy);
    for (size_t i = queue->first; i < queue->count; i++) {
        struct step *step = &queue->steps[i];
        if (!step->complete && (step->kind == STEP_OWN || step->kind == STEP_FINISH)) {
            if (earlier_open)
                break;
            run_local(step);
            *moved = true;
        } else if (!step->complete) {
            bool *busy = step->kind == STEP_SEND ? &sending[step->peer]
                         : channel == COLLECTIVE ? &receiving[0]
                                                 : &receiving[step->peer];
            ncclResult_t result = *busy ? ncclSuccess : advance_transfer(comm, channel, step, moved);
            if (result != ncclSuccess)
                return result;
            *busy |= !step->complete;
        }
        earlier_open |= !step->complete;
        if (!earlier_open)
            queue->first = i + 1;
    }
    return ncclSuccess;
}

static const struct step *first_open_step(ncclComm_t comm) {
    for (int channel = 0; channel < CHANNELS; channel++)
        if (comm->queues[channel].first < comm->queues[channel].count)
            return &comm->queues[channel].steps[comm->queues[channel].first];
    return NULL;
}

static ncclResult_t check_peers(ncclComm_t comm) {
    uint32_t aborted = atomic_load(&comm->segment->aborted);
    if (!aborted)
        return ncclSuccess;
    return fail(ncclRemoteError, "rank %d of %d gave up the communicator while rank %d was using it", (int)aborted - 1,
                comm->nranks, comm->rank);
}

static ncclResult_t timed_out(ncclComm_t comm) {
    const struct step *step = first_open_step(comm);
    return fail(ncclSystemError, "rank %d of %d waited %g s for rank %d: %zu of %zu bytes were %s", comm->rank,
                comm->nranks, comm->timeout, step->peer, step->done, step->bytes,
                step->kind == STEP_SEND ? "sent" : "received");
}

/* One round over all communicators: what could be moved is moved. *open counts those that have steps left. */
static ncclResult_t advance_all(ncclComm_t first, bool *moved, int *open) {
    for (ncclComm_t comm = first; comm; comm = comm->next_in_group) {
        ncclResult_t result = ncclSuccess;
        for (int channel = 0; channel < CHANNELS && result == ncclSuccess; channel++)
            result = advance_queue(comm, channel, moved);
        bool unfinished = first_open_step(comm) != NULL;
        if (result == ncclSuccess && unfinished)
            result = check_peers(comm);
        if (result != ncclSuccess)
            return comm_break(comm, result);
        *open += unfinished;
    }
    return ncclSuccess;
}

ncclResult_t engine_run(ncclComm_t first) {
    if (!first)
        return ncclSuccess;
    double still_since = seconds_now();
    for (;;) {
        bool moved = false;
        int open = 0;
        /* The bell is read before the pipes, so that what arrives in between cuts the sleep short. */
        uint32_t seen = atomic_load(&first->segment->members[first->rank].bell);
        ncclResult_t result = advance_all(first, &moved, &open);
        if (result != ncclSuccess || open == 0)
            return result;
        if (moved) {
            still_since = seconds_now();
            continue;
        }
        double still = seconds_now() - still_since;
        for (ncclComm_t comm = first; comm; comm = comm->next_in_group)
            if (first_open_step(comm) && still >= comm->timeout)
                return comm_break(comm, timed_out(comm));
        bell_wait(&first->segment->members[first->rank], seen, first->next_in_group ? SLEEP_SEVERAL : SLEEP_ONE);
    }
}
