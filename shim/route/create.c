/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that make communicators, once calls are routed: each chooses the library, by rules about the caller and the
 * communicator's name, and the handle is recorded as that library's before the program has it (pending.c). For rows
 * without a function here, maker.c records it.
 */
#include "route.h"

/* The library for a call from the program, or NULL after an error. */
#define LIBRARY_TO_CREATE(config) ncr_library_to_create(__builtin_return_address(0), config)

static int get_unique_id(struct ncr_id *id) {
    struct ncr_library *library = LIBRARY_TO_CREATE(NULL);
    if (!library)
        return NCR_SYSTEM_ERROR;
    ncr_call.alternative = ncr_rule_alternative(library);
    ncr_enter(library); /* a rule may have opened another meanwhile */
    int code = NCR_ENTRY(library, ncclGetUniqueId)(id);
    ncr_call.alternative = NULL;
    return code;
}

static int init_rank(ncr_comm *comm, int ranks, struct ncr_id id, int rank) {
    struct ncr_library *library = LIBRARY_TO_CREATE(NULL);
    if (!library)
        return NCR_SYSTEM_ERROR;
    struct ncr_making making = {.library = library};
    ncr_comm *place = ncr_expect(&making, comm);
    return NCR_MAKE(&making, NCR_ENTRY(library, ncclCommInitRank)(place, ranks, id, rank));
}

static int init_all(ncr_comm *comms, int devices, const int *list) {
    struct ncr_library *library = LIBRARY_TO_CREATE(NULL);
    if (!library)
        return NCR_SYSTEM_ERROR;
    struct ncr_making making = {.library = library};
    ncr_comm *place = ncr_expect_several(&making, comms, devices);
    return NCR_MAKE(&making, NCR_ENTRY(library, ncclCommInitAll)(place, devices, list));
}

static int init_rank_config(ncr_comm *comm, int ranks, struct ncr_id id, int rank, void *config) {
    struct ncr_library *library = LIBRARY_TO_CREATE(config);
    if (!library)
        return NCR_SYSTEM_ERROR;
    struct ncr_making making = {.library = library};
    ncr_comm *place = ncr_expect(&making, comm);
    return NCR_MAKE(&making, NCR_ENTRY(library, ncclCommInitRankConfig)(place, ranks, id, rank, config));
}

static int init_rank_scalable(ncr_comm *comm, int ranks, int rank, int id_count, struct ncr_id *ids, void *config) {
    struct ncr_library *library = LIBRARY_TO_CREATE(config);
    if (!library)
        return NCR_SYSTEM_ERROR;
    struct ncr_making making = {.library = library};
    ncr_comm *place = ncr_expect(&making, comm);
    return NCR_MAKE(&making, NCR_ENTRY(library, ncclCommInitRankScalable)(place, ranks, rank, id_count, ids, config));
}

/* Without a color it makes nothing, also where it answers that it is in progress. */
static int split(ncr_comm comm, int color, int key, ncr_comm *new_comm, void *config) {
    struct ncr_library *library = ncr_library_of(comm);
    ncr_enter(library);
    if (!NCR_ENTRY(library, ncclCommSplit))
        return ncr_answer_lacking(library, NCR_ROW_ncclCommSplit);
    struct ncr_making making = {.library = library, .parent = comm};
    ncr_comm *place = color < 0 ? new_comm : ncr_expect(&making, new_comm);
    return NCR_MAKE(&making, NCR_ENTRY(library, ncclCommSplit)(comm, color, key, place, config));
}

/* A joining rank has no communicator yet. */
static int grow(ncr_comm comm, int ranks, const struct ncr_id *id, int rank, ncr_comm *new_comm, void *config) {
    struct ncr_library *library = comm ? ncr_library_of(comm) : LIBRARY_TO_CREATE(config);
    if (!library)
        return NCR_SYSTEM_ERROR;
    ncr_enter(library);
    if (!NCR_ENTRY(library, ncclCommGrow))
        return ncr_answer_lacking(library, NCR_ROW_ncclCommGrow);
    struct ncr_making making = {.library = library, .parent = comm};
    ncr_comm *place = ncr_expect(&making, new_comm);
    return NCR_MAKE(&making, NCR_ENTRY(library, ncclCommGrow)(comm, ranks, id, rank, place, config));
}

/** The address of the function here for a row, or NULL. */
void *ncr_route_create(unsigned row) {
    switch (row) {
    case NCR_ROW_ncclGetUniqueId:
        return NCR_ADDRESS(get_unique_id);
    case NCR_ROW_ncclCommInitRank:
        return NCR_ADDRESS(init_rank);
    case NCR_ROW_ncclCommInitAll:
        return NCR_ADDRESS(init_all);
    case NCR_ROW_ncclCommInitRankConfig:
        return NCR_ADDRESS(init_rank_config);
    case NCR_ROW_ncclCommInitRankScalable:
        return NCR_ADDRESS(init_rank_scalable);
    case NCR_ROW_ncclCommSplit:
        return NCR_ADDRESS(split);
    case NCR_ROW_ncclCommGrow:
        return NCR_ADDRESS(grow);
    default:
        return NULL;
    }
}
