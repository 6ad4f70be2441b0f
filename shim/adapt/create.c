/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating communicators: the configuration is adapted, and functions that an older backend lacks are replaced where a
 * simpler call does exactly the same.
 */
#include "adapt.h"

#include <string.h>

/* ncclCommInitRankConfig before 2.14: a communicator with all defaults is the same thing; a non-blocking one is not. */
static int init_rank_without_config(struct ncr_library *library, ncr_comm *comm, int ranks, struct ncr_id id, int rank,
                                    const void *config) {
    struct ncr_nccl_config given = {.blocking = 1};
    if (config)
        memcpy(&given.head.size, config, sizeof given.head.size);
    if (config && NCR_CONFIG_HAS(given.head.size, blocking))
        memcpy(&given, config, offsetof(struct ncr_nccl_config, blocking) + sizeof given.blocking);
    if (config && given.head.magic != NCR_MAGIC)
        return ncr_invalid(library, "ncclCommInitRankConfig: the configuration was not initialised with "
                                    "NCCL_CONFIG_INITIALIZER");
    if (given.blocking == 0)
        return ncr_refuse_lacking(library, "ncclCommInitRankConfig", " of a non-blocking communicator", 21403);
    return NCR_TARGET(library, ncclCommInitRank)(comm, ranks, id, rank);
}

/** ncclCommInitRankConfig. */
int ncr_adapt_init_rank_config(ncr_comm *comm, int ranks, struct ncr_id id, int rank, void *config) {
    struct ncr_library *library = ncr_called_library();
    struct ncr_config_copy copy;
    void *fitted = ncr_config_fit(library, config, &copy);
    return library->targets[2 * NCR_ROW_ncclCommInitRankConfig]
               ? NCR_TARGET(library, ncclCommInitRankConfig)(comm, ranks, id, rank, fitted)
               : init_rank_without_config(library, comm, ranks, id, rank, config);
}

/** ncclCommInitRankScalable; before 2.23.4 with one id, which is ncclCommInitRankConfig. */
int ncr_adapt_init_rank_scalable(ncr_comm *comm, int ranks, int rank, int id_count, struct ncr_id *ids, void *config) {
    struct ncr_library *library = ncr_called_library();
    if (library->targets[2 * NCR_ROW_ncclCommInitRankScalable]) {
        struct ncr_config_copy copy;
        void *fitted = ncr_config_fit(library, config, &copy);
        return NCR_TARGET(library, ncclCommInitRankScalable)(comm, ranks, rank, id_count, ids, fitted);
    }
    if (!ids || id_count < 1)
        return ncr_invalid(library, "ncclCommInitRankScalable: no unique ID was given");
    if (id_count > 1)
        return ncr_refuse_lacking(library, "ncclCommInitRankScalable", " with more than one id", 22304);
    return ncr_adapt_init_rank_config(comm, ranks, ids[0], rank, config);
}

/** ncclCommSplit. */
int ncr_adapt_split(ncr_comm comm, int color, int key, ncr_comm *new_comm, void *config) {
    struct ncr_library *library = ncr_called_library();
    struct ncr_config_copy copy;
    void *fitted = ncr_config_fit(library, config, &copy);
    return NCR_TARGET(library, ncclCommSplit)(comm, color, key, new_comm, fitted);
}

/** ncclCommShrink. */
int ncr_adapt_shrink(ncr_comm comm, int *excluded, int count, ncr_comm *new_comm, void *config, int flags) {
    struct ncr_library *library = ncr_called_library();
    struct ncr_config_copy copy;
    void *fitted = ncr_config_fit(library, config, &copy);
    return NCR_TARGET(library, ncclCommShrink)(comm, excluded, count, new_comm, fitted, flags);
}

/** ncclCommGrow. */
int ncr_adapt_grow(ncr_comm comm, int ranks, const struct ncr_id *id, int rank, ncr_comm *new_comm, void *config) {
    struct ncr_library *library = ncr_called_library();
    struct ncr_config_copy copy;
    void *fitted = ncr_config_fit(library, config, &copy);
    return NCR_TARGET(library, ncclCommGrow)(comm, ranks, id, rank, new_comm, fitted);
}

/** ncclCommFinalize before 2.14: ncclCommDestroy does the work there. NULL is allowed (v2.14.3:init.cc:1378). */
int ncr_adapt_finalize(ncr_comm comm) {
    (void)comm;
    return NCR_SUCCESS;
}
