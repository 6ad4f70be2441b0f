/* Which function of a library gets an adapter. One row each, looked through once when the library is opened. */
#include "adapt.h"
#include "layer.h"

typedef void adapter(void);

/* When the adapter takes the place of the library's own function. */
enum when {
    ALWAYS, /* where the library has the function */
    LACKED, /* where it does not, but has `needs` */
    OLDER   /* where it has the function and is older than `version` */
};

static const struct adapter_row {
    unsigned row;
    enum when when;
    unsigned needs;
    int version;
    adapter *function;
} adapters[] = {
#define ALWAYS(name, adapter_)                                                                                         \
    { NCR_ROW_##name, ALWAYS, 0, 0, (adapter *)adapter_ }
#define LACKED(name, needs, adapter_)                                                                                  \
    { NCR_ROW_##name, LACKED, NCR_ROW_##needs, 0, (adapter *)adapter_ }
#define OLDER(name, version, adapter_)                                                                                 \
    { NCR_ROW_##name, OLDER, 0, version, (adapter *)adapter_ }
    ALWAYS(ncclCommInitRankConfig, ncr_adapt_init_rank_config),
    LACKED(ncclCommInitRankConfig, ncclCommInitRank, ncr_adapt_init_rank_config),
    ALWAYS(ncclCommInitRankScalable, ncr_adapt_init_rank_scalable),
    LACKED(ncclCommInitRankScalable, ncclCommInitRank, ncr_adapt_init_rank_scalable),
    ALWAYS(ncclCommSplit, ncr_adapt_split),
    ALWAYS(ncclCommShrink, ncr_adapt_shrink),
    ALWAYS(ncclCommGrow, ncr_adapt_grow),
    LACKED(ncclCommFinalize, ncclCommDestroy, ncr_adapt_finalize),
    LACKED(ncclAlltoAll, ncclSend, ncr_all_to_all),
    LACKED(ncclAllToAll, ncclSend, ncr_all_to_all),
    LACKED(ncclGather, ncclSend, ncr_gather),
    LACKED(ncclScatter, ncclSend, ncr_scatter),
    OLDER(ncclSend, 22403, ncr_send_as_bytes),
    OLDER(ncclRecv, 22403, ncr_recv_as_bytes),
    OLDER(ncclBroadcast, 22403, ncr_broadcast_as_bytes),
    OLDER(ncclBcast, 22403, ncr_bcast_as_bytes),
    OLDER(ncclAllGather, 22403, ncr_all_gather_as_bytes),
    LACKED(ncclAllReduceConfig, ncclAllReduce, ncr_all_reduce_config),
    LACKED(ncclReduceScatterConfig, ncclReduceScatter, ncr_reduce_scatter_config),
    LACKED(ncclReduceConfig, ncclReduce, ncr_reduce_config),
    LACKED(ncclBroadcastConfig, ncclBroadcast, ncr_broadcast_config),
    LACKED(ncclAllGatherConfig, ncclAllGather, ncr_all_gather_config),
    LACKED(ncclAlltoAllConfig, ncclSend, ncr_all_to_all_config),
    LACKED(ncclGatherConfig, ncclSend, ncr_gather_config),
    LACKED(ncclScatterConfig, ncclSend, ncr_scatter_config),
    LACKED(ncclGroupSimulateEnd, ncclGroupEnd, ncr_group_end_unsimulated),
    LACKED(ncclResetDebugInit, ncclGetVersion, ncr_reset_debug_init),
    LACKED(ncclMemAlloc, ncclGetVersion, ncr_mem_alloc),
    LACKED(ncclMemFree, ncclGetVersion, ncr_mem_free),
    LACKED(ncclCommRegister, ncclGetVersion, ncr_comm_register),
    LACKED(ncclCommDeregister, ncclGetVersion, ncr_comm_deregister),
    ALWAYS(ncclCommWindowRegister, ncr_window_register),
    LACKED(ncclCommWindowRegister, ncclGetVersion, ncr_window_register),
    OLDER(ncclCommWindowDeregister, 22902, ncr_window_deregister),
    LACKED(ncclCommWindowDeregister, ncclGetVersion, ncr_window_deregister),
    LACKED(ncclWinGetUserPtr, ncclGetVersion, ncr_window_user_pointer),
    OLDER(ncclDevCommCreate, 22902, ncr_dev_comm_create),
    ALWAYS(ncclLsaBarrierCreateRequirement, ncr_lsa_barrier_requirement),
    ALWAYS(ncclLLA2ACreateRequirement, ncr_ll_a2a_requirement),
    LACKED(ncclTeamWorld, ncclCommCount, ncr_team_world),
    LACKED(ncclTeamRankToWorld, ncclCommUserRank, ncr_team_rank_to_world),
#undef ALWAYS
#undef LACKED
#undef OLDER
};

static bool applies(const struct ncr_library *library, const struct adapter_row *row) {
    bool has = library->targets[2 * row->row] != NULL;
    switch (row->when) {
    case ALWAYS:
        return has;
    case LACKED:
        return !has && library->targets[2 * row->needs] != NULL;
    case OLDER:
        return has && library->backend.version < row->version;
    }
    return false;
}

/*
 * NCCL writes ncclAlltoAll, RCCL ncclAllToAll; they are the same function, so the one serves the other's name where that
 * is missing.
 */
static void *other_spelling(const struct ncr_library *library, unsigned slot) {
    if (slot / 2 == NCR_ROW_ncclAlltoAll)
        return library->targets[2 * NCR_ROW_ncclAllToAll + slot % 2];
    if (slot / 2 == NCR_ROW_ncclAllToAll)
        return library->targets[2 * NCR_ROW_ncclAlltoAll + slot % 2];
    return NULL;
}

/* A function and its profiling alias get the same adapter. */
static void *entry(struct ncr_library *library, unsigned slot, void *below) {
    void *spelled = below ? NULL : other_spelling(library, slot);
    if (spelled)
        return spelled;
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++)
        if (adapters[i].row == slot / 2 && applies(library, &adapters[i]))
            return ncr_functions[slot / 2].alias || slot % 2 == 0 ? NCR_ADDRESS(adapters[i].function) : NULL;
    return below;
}

static void opened(struct ncr_library *library) {
    ncr_isolate(library);
}

const struct ncr_layer ncr_adapt_layer = {.name = "adapt", .entry = entry, .opened = opened};

/** ncclResetDebugInit before 2.24.3: that NCCL reads its debug settings once. */
void ncr_reset_debug_init(void) {
}

/**
 * ncclGroupSimulateEnd before 2.22.3 is refused, but it ends the group, and nothing that was queued may be launched.
 */
int ncr_group_end_unsimulated(void *info) {
    struct ncr_library *library = ncr_called_library();
    (void)info;
    ncr_poison_group(library);
    NCR_TARGET(library, ncclGroupEnd)();
    return ncr_refuse_lacking(library, "ncclGroupSimulateEnd", "", 22203);
}
