/*
 * Creating communicators: the id's tag is compared, the configuration is fitted, and what an older backend lacks is
 * replaced where a simpler call does exactly the same.
 */
#include "bridge.h"

#include <stdlib.h>
#include <string.h>

/* May `library` join with this id? Of an id for two libraries it takes its own part. */
static int take_id(struct ncr_library *library, bool named, struct ncr_id *id) {
    int code = ncr_id_take(library, named, id);
    return code ? code : ncr_tag_check(library, id);
}

/** ncclCommInitRank. */
int ncr_comm_init_rank(ncr_comm *comm, int ranks, struct ncr_id id, int rank) {
    struct ncr_library *library = ncr_library_to_create(__builtin_return_address(0), NULL, NULL);
    int code = library ? take_id(library, false, &id) : NCR_SYSTEM_ERROR;
    if (code)
        return code;
    struct ncr_making making = {.library = library};
    ncr_comm *place = ncr_expect(&making, comm);
    return ncr_made(&making, NCR_OWN(library, ncclCommInitRank)(place, ranks, id, rank));
}

/** ncclCommInitAll. */
int ncr_comm_init_all(ncr_comm *comms, int devices, const int *list) {
    struct ncr_library *library = ncr_library_to_create(__builtin_return_address(0), NULL, NULL);
    struct ncr_making making = {.library = library};
    if (!library)
        return NCR_SYSTEM_ERROR;
    ncr_comm *place = ncr_expect_several(&making, comms, devices);
    return ncr_made(&making, NCR_OWN(library, ncclCommInitAll)(place, devices, list));
}

/* ncclCommInitRankConfig before 2.14: a communicator with all defaults is the same thing; a non-blocking one is not. */
static int init_rank_config(struct ncr_library *library, ncr_comm *comm, int ranks, struct ncr_id id, int rank,
                            void *config) {
    struct ncr_config_copy copy;
    struct {
        struct ncr_versioned head;
        int blocking;
    } first = {.blocking = 1};
    void *fitted = ncr_config_fit(library, config, &copy);
    struct ncr_making making = {.library = library};
    if (library->targets[2 * NCR_ROW_ncclCommInitRankConfig]) {
        ncr_comm *place = ncr_expect(&making, comm);
        return ncr_made(&making, NCR_OWN(library, ncclCommInitRankConfig)(place, ranks, id, rank, fitted));
    }
    if (config)
        memcpy(&first.head.size, config, sizeof first.head.size);
    if (config && first.head.size >= sizeof first)
        memcpy(&first, config, offsetof(__typeof__(first), blocking) + sizeof first.blocking);
    if (config && first.head.magic != NCR_MAGIC)
        return ncr_invalid(library, "ncclCommInitRankConfig: the configuration was not initialised with "
                                    "NCCL_CONFIG_INITIALIZER");
    if (first.blocking == 0)
        return ncr_refuse_lacking(library, "ncclCommInitRankConfig", " of a non-blocking communicator", 21403);
    ncr_comm *place = ncr_expect(&making, comm);
    return ncr_made(&making, NCR_OWN(library, ncclCommInitRank)(place, ranks, id, rank));
}

/** ncclCommInitRankConfig. */
int ncr_comm_init_rank_config(ncr_comm *comm, int ranks, struct ncr_id id, int rank, void *config) {
    bool named = false;
    struct ncr_library *library = ncr_library_to_create(__builtin_return_address(0), config, &named);
    int code = library ? take_id(library, named, &id) : NCR_SYSTEM_ERROR;
    return code ? code : init_rank_config(library, comm, ranks, id, rank, config);
}

/* With ids that the library has taken. */
static int init_rank_scalable(struct ncr_library *library, ncr_comm *comm, int ranks, int rank, int id_count,
                              struct ncr_id *ids, void *config) {
    struct ncr_config_copy copy;
    if (library->targets[2 * NCR_ROW_ncclCommInitRankScalable]) {
        struct ncr_making making = {.library = library};
        void *fitted = ncr_config_fit(library, config, &copy);
        ncr_comm *place = ncr_expect(&making, comm);
        return ncr_made(&making, NCR_OWN(library, ncclCommInitRankScalable)(place, ranks, rank, id_count, ids, fitted));
    }
    if (!ids || id_count < 1)
        return ncr_invalid(library, "ncclCommInitRankScalable: there is no unique id");
    if (id_count > 1)
        return ncr_refuse_lacking(library, "ncclCommInitRankScalable", " with more than one id", 22304);
    return init_rank_config(library, comm, ranks, ids[0], rank, config);
}

/** ncclCommInitRankScalable; before 2.23.4 with one id, which is ncclCommInitRankConfig. */
int ncr_comm_init_rank_scalable(ncr_comm *comm, int ranks, int rank, int id_count, struct ncr_id *ids, void *config) {
    bool named = false;
    struct ncr_library *library = ncr_library_to_create(__builtin_return_address(0), config, &named);
    if (!library)
        return NCR_SYSTEM_ERROR;
    struct ncr_id *taken = ids && id_count > 0 ? calloc((size_t)id_count, sizeof *taken) : NULL;
    int code = NCR_SUCCESS;
    for (int i = 0; taken && !code && i < id_count; i++) {
        taken[i] = ids[i];
        code = take_id(library, named, &taken[i]);
    }
    if (!code)
        code = init_rank_scalable(library, comm, ranks, rank, id_count, taken ? taken : ids, config);
    free(taken);
    return code;
}

/** ncclCommSplit. Without a color it makes nothing, also where it answers that it is in progress. */
int ncr_comm_split(ncr_comm comm, int color, int key, ncr_comm *new_comm, void *config) {
    struct ncr_library *library = ncr_library_of(comm);
    struct ncr_config_copy copy;
    void *fitted = ncr_config_fit(library, config, &copy);
    struct ncr_making making = {.library = library, .parent = comm};
    ncr_comm *place = color < 0 ? new_comm : ncr_expect(&making, new_comm);
    return ncr_made(&making, NCR_OWN(library, ncclCommSplit)(comm, color, key, place, fitted));
}

/** ncclCommShrink. */
int ncr_comm_shrink(ncr_comm comm, int *excluded, int count, ncr_comm *new_comm, void *config, int flags) {
    struct ncr_library *library = ncr_library_of(comm);
    struct ncr_config_copy copy;
    void *fitted = ncr_config_fit(library, config, &copy);
    struct ncr_making making = {.library = library, .parent = comm};
    ncr_comm *place = ncr_expect(&making, new_comm);
    return ncr_made(&making, NCR_OWN(library, ncclCommShrink)(comm, excluded, count, place, fitted, flags));
}

/** ncclCommGrow; on a joining rank there is no communicator yet, and the id decides whether it may join. */
int ncr_comm_grow(ncr_comm comm, int ranks, const struct ncr_id *id, int rank, ncr_comm *new_comm, void *config) {
    struct ncr_library *library =
        comm ? ncr_library_to_extend(comm) : ncr_library_to_create(__builtin_return_address(0), config, NULL);
    struct ncr_config_copy copy;
    if (!library)
        return NCR_SYSTEM_ERROR;
    if (!library->targets[2 * NCR_ROW_ncclCommGrow])
        return ncr_refuse_lacking(library, "ncclCommGrow", "", 22902);
    int code = id ? ncr_tag_check(library, id) : NCR_SUCCESS;
    void *fitted = ncr_config_fit(library, config, &copy);
    if (code)
        return code;
    struct ncr_making making = {.library = library, .parent = comm};
    ncr_comm *place = ncr_expect(&making, new_comm);
    return ncr_made(&making, NCR_OWN(library, ncclCommGrow)(comm, ranks, id, rank, place, fitted));
}

/** ncclCommFinalize before 2.14: ncclCommDestroy does the work there. NULL is allowed (v2.14.3:init.cc:1378). */
int ncr_comm_finalize(ncr_comm comm) {
    (void)comm;
    return NCR_SUCCESS;
}
