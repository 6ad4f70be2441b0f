/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that create or take a unique id, and what is checked before the library gets the call. */
#include "ranks.h"
#include "layer.h"

#include <stdlib.h>

/* NCCL's function, and ours before it. */
#define WRAPPERS                                                                                                       \
    XX(ncclGetUniqueId, get_unique_id)                                                                                 \
    XX(ncclCommGetUniqueId, comm_get_unique_id)                                                                        \
    XX(ncclCommInitRank, init_rank)                                                                                    \
    XX(ncclCommInitAll, init_all)                                                                                      \
    XX(ncclCommInitRankConfig, init_rank_config)                                                                       \
    XX(ncclCommInitRankScalable, init_rank_scalable)                                                                   \
    XX(ncclCommGrow, grow)

/* The index in a library's `wrapped` of what is below each of them. */
enum {
#define XX(name, wrapper) BELOW_##name,
    WRAPPERS
#undef XX
        WRAPPER_COUNT
};
_Static_assert((int)WRAPPER_COUNT <= (int)NCR_MOST_WRAPPED, "they fit into struct ncr_library");

#define BELOW(library, name) NCR_FUNCTION(ncr_fn_##name, (library)->wrapped[BELOW_##name])

/* May the called library join with this id? From an id for two libraries it takes its own part. */
static int take_id(const struct ncr_library *library, struct ncr_id *id) {
    int code = ncr_second_id_take(library, ncr_call.by_name, id);
    return code ? code : ncr_tag_check(library, id);
}

static int get_unique_id(struct ncr_id *id) {
    struct ncr_library *library = ncr_called_library();
    ncr_look_for_second();
    ncr_tag_clear(id);
    int code = BELOW(library, ncclGetUniqueId)(id);
    if (code != NCR_SUCCESS)
        return code;
    ncr_tag_id(library, id);
    if (ncr_call.alternative)
        ncr_second_id_add(library, ncr_call.alternative, id);
    return NCR_SUCCESS;
}

/* For ncclCommGrow. */
static int comm_get_unique_id(ncr_comm comm, struct ncr_id *id) {
    struct ncr_library *library = ncr_called_library();
    ncr_tag_clear(id);
    int code = BELOW(library, ncclCommGetUniqueId)(comm, id);
    if (code == NCR_SUCCESS)
        ncr_tag_id(library, id);
    return code;
}

static int init_rank(ncr_comm *comm, int ranks, struct ncr_id id, int rank) {
    struct ncr_library *library = ncr_called_library();
    ncr_look_for_second();
    int code = take_id(library, &id);
    return code ? code : BELOW(library, ncclCommInitRank)(comm, ranks, id, rank);
}

/* All ranks are in this process: there is nothing to compare. */
static int init_all(ncr_comm *comms, int devices, const int *list) {
    struct ncr_library *library = ncr_called_library();
    ncr_look_for_second();
    return BELOW(library, ncclCommInitAll)(comms, devices, list);
}

static int init_rank_config(ncr_comm *comm, int ranks, struct ncr_id id, int rank, void *config) {
    struct ncr_library *library = ncr_called_library();
    ncr_look_for_second();
    int code = take_id(library, &id);
    return code ? code : BELOW(library, ncclCommInitRankConfig)(comm, ranks, id, rank, config);
}

static int init_rank_scalable(ncr_comm *comm, int ranks, int rank, int id_count, struct ncr_id *ids, void *config) {
    struct ncr_library *library = ncr_called_library();
    ncr_look_for_second();
    bool several = ids && id_count > 0;
    struct ncr_id *taken = several ? calloc((size_t)id_count, sizeof *taken) : NULL;
    int code = several && !taken ? ncr_fail(NCR_SYSTEM_ERROR, "ncclCommInitRankScalable: out of memory") : NCR_SUCCESS;
    for (int i = 0; taken && !code && i < id_count; i++) {
        taken[i] = ids[i];
        code = take_id(library, &taken[i]);
    }
    if (!code)
        code = BELOW(library, ncclCommInitRankScalable)(comm, ranks, rank, id_count, taken ? taken : ids, config);
    free(taken);
    return code;
}

/* On a joining rank there is no communicator yet, and the id decides whether it may join. */
static int grow(ncr_comm comm, int ranks, const struct ncr_id *id, int rank, ncr_comm *new_comm, void *config) {
    struct ncr_library *library = ncr_called_library();
    int code = id ? ncr_tag_check(library, id) : NCR_SUCCESS;
    return code ? code : BELOW(library, ncclCommGrow)(comm, ranks, id, rank, new_comm, config);
}

static void *entry(struct ncr_library *library, unsigned slot, void *below) {
    void *wrapper = NULL;
    unsigned number = 0;
    switch (slot / 2) {
#define XX(name, function)                                                                                             \
    case NCR_ROW_##name:                                                                                               \
        number = BELOW_##name;                                                                                         \
        wrapper = NCR_ADDRESS(function);                                                                               \
        break;
        WRAPPERS
#undef XX
    default:
        return below;
    }
    if (slot % 2 == 0) /* the profiling alias leads to the same */
        library->wrapped[number] = below;
    return below ? wrapper : NULL;
}

const struct ncr_layer ncr_ranks_layer = {.name = "ranks", .entry = entry};
