/* Which function of a library gets a bridge. One row per bridge, looked through once when the library is opened. */
#include "bridge.h"

typedef void code(void);

/* When the bridge takes the place of the library's own function. */
enum when {
    ALWAYS, /* where the library has the function */
    LACKED, /* where it does not, but has `needs` */
    OLDER   /* where it has the function and is older than `version` */
};

static const struct bridge {
    unsigned row;
    enum when when;
    unsigned needs;
    int version;
    code *code;
} bridges[] = {
#define ALWAYS(name, bridge)                                                                                           \
    { NCR_ROW_##name, ALWAYS, 0, 0, (code *)bridge }
#define LACKED(name, needs, bridge)                                                                                    \
    { NCR_ROW_##name, LACKED, NCR_ROW_##needs, 0, (code *)bridge }
#define OLDER(name, version, bridge)                                                                                   \
    { NCR_ROW_##name, OLDER, 0, version, (code *)bridge }
    ALWAYS(ncclGetUniqueId, ncr_get_unique_id),
    ALWAYS(ncclCommGetUniqueId, ncr_comm_get_unique_id),
    ALWAYS(ncclCommInitRank, ncr_comm_init_rank),
    ALWAYS(ncclCommInitAll, ncr_comm_init_all),
    ALWAYS(ncclCommInitRankConfig, ncr_comm_init_rank_config),
    LACKED(ncclCommInitRankConfig, ncclCommInitRank, ncr_comm_init_rank_config),
    ALWAYS(ncclCommInitRankScalable, ncr_comm_init_rank_scalable),
    LACKED(ncclCommInitRankScalable, ncclCommInitRank, ncr_comm_init_rank_scalable),
    ALWAYS(ncclCommSplit, ncr_comm_split),
    ALWAYS(ncclCommShrink, ncr_comm_shrink),
    ALWAYS(ncclCommGrow, ncr_comm_grow),
    LACKED(ncclCommFinalize, ncclCommDestroy, ncr_comm_finalize),
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
    ALWAYS(ncclSetEncryption, ncr_set_encryption),
    LACKED(ncclTeamWorld, ncclCommCount, ncr_team_world),
    LACKED(ncclTeamRankToWorld, ncclCommUserRank, ncr_team_rank_to_world),
#undef ALWAYS
#undef LACKED
#undef OLDER
};

static bool applies(const struct ncr_library *library, const struct bridge *bridge) {
    bool has = library->targets[2 * bridge->row] != NULL;
    switch (bridge->when) {
    case ALWAYS:
        return has;
    case LACKED:
        return !has && library->targets[2 * bridge->needs] != NULL;
    case OLDER:
        return has && library->backend.version < bridge->version;
    }
    return false;
}

/* NCCL writes ncclAlltoAll, RCCL ncclAllToAll; they are the same function, so the one serves the other's name. */
static void share_spellings(struct ncr_library *library) {
    void **nccl = &library->targets[2 * NCR_ROW_ncclAlltoAll], **rccl = &library->targets[2 * NCR_ROW_ncclAllToAll];
    if (!*nccl != !*rccl)
        for (int twin = 0; twin < 2; twin++)
            library->entries[2 * NCR_ROW_ncclAlltoAll + twin] = library->entries[2 * NCR_ROW_ncclAllToAll + twin] =
                *nccl ? nccl[twin] : rccl[twin];
}

/** The bridge of a function that creates communicators; it serves every library. */
void *ncr_create_bridge(unsigned row) {
    union {
        code *code;
        void *address;
    } bridge = {NULL};
    for (size_t i = 0; i < sizeof bridges / sizeof *bridges; i++)
        if (bridges[i].row == row)
            bridge.code = bridges[i].code;
    return bridge.address;
}

/** Put bridges into library->entries where the library needs them, and close its own calls off from the shim. */
void ncr_bridge(struct ncr_library *library) {
    for (size_t i = 0; i < sizeof bridges / sizeof *bridges; i++) {
        union {
            code *code;
            void *address;
        } bridge = {bridges[i].code};
        if (!applies(library, &bridges[i]))
            continue;
        library->entries[2 * bridges[i].row] = bridge.address;
        library->entries[2 * bridges[i].row + 1] = bridge.address;
    }
    share_spellings(library);
    ncr_isolate(library);
}

/** A wrong argument of a bridged call: ncclInvalidArgument, and as in NCCL the open group launches nothing. */
int ncr_invalid(const struct ncr_library *library, const char *text) {
    ncr_poison_group(library);
    return ncr_fail(NCR_INVALID_ARGUMENT, "%s", text);
}

/** ncclResetDebugInit before 2.24.3: that NCCL reads its debug settings once. */
void ncr_reset_debug_init(void) {
}

/**
 * ncclGroupSimulateEnd before 2.22.3 is refused, but it ends the group, and nothing that was queued may be launched.
 */
int ncr_group_end_unsimulated(void *info) {
    struct ncr_library *library = ncr_library_of(NULL);
    (void)info;
    ncr_poison_group(library);
    NCR_OWN(library, ncclGroupEnd)();
    return ncr_refuse_lacking(library, "ncclGroupSimulateEnd", "", 22203);
}
