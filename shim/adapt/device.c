/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host side of the device API. Its structs are compiled into the program's kernels and changed with nearly every
 * version; no shim can convert them, so what a 2.28 would misread is refused before it can crash there.
 */
#include "adapt.h"

#include <string.h>

/*
 * Is the program compiled for a 2.28 whose structs have another layout? Between 2.28.3 and 2.28.7
 * ncclDevCommRequirements grew from 24 to 56 bytes and ncclDevResourceRequirements from 32 to 56, and neither contains
 * its size. For a program that never passed a configuration this is not known; then it is assumed to fit.
 */
static bool has_other_layout(const struct ncr_library *library, char text[16]) {
    int program = ncr_program_version();
    ncr_version_text(program, text);
    return program >= 22803 && program < 22900 && (program < 22807) != (library->backend.version < 22807);
}

static int refuse_layout(const struct ncr_library *library, const char *function, const char *program) {
    char present[16];
    ncr_version_text(library->backend.version, present);
    return ncr_refuse(library,
                      "%s: the program is compiled for NCCL %s, whose device structs have another "
                      "layout than those of NCCL %s (%s). Compile it for that version, or choose the NCCL "
                      "that it is compiled for",
                      function, program, present, library->backend.path);
}

/**
 * ncclDevCommCreate on a 2.28, whose struct has no header: one from 2.29 on (recognised by its magic) would be taken
 * for a list and followed (v2.28.9:dev_runtime.cc:661); one from the other 2.28 would be read with the wrong layout.
 */
int ncr_dev_comm_create(ncr_comm comm, const void *requirements, void *device_comm) {
    struct ncr_library *library = ncr_called_library();
    char program[16];
    unsigned magic = 0;
    if (requirements)
        memcpy(&magic, (const char *)requirements + offsetof(struct ncr_versioned, magic), sizeof magic);
    if (magic == NCR_MAGIC)
        return ncr_refuse_lacking(library, "ncclDevCommCreate", " of a program compiled for it", 22902);
    if (has_other_layout(library, program))
        return refuse_layout(library, "ncclDevCommCreate", program);
    return NCR_TARGET(library, ncclDevCommCreate)(comm, requirements, device_comm);
}

/** ncclLsaBarrierCreateRequirement, which clears a whole struct: more than a program of 2.28.3 has. */
int ncr_lsa_barrier_requirement(struct ncr_team team, int barriers, void *handle, void *requirement) {
    struct ncr_library *library = ncr_called_library();
    char program[16];
    if (has_other_layout(library, program))
        return refuse_layout(library, "ncclLsaBarrierCreateRequirement", program);
    return NCR_TARGET(library, ncclLsaBarrierCreateRequirement)(team, barriers, handle, requirement);
}

/** ncclLLA2ACreateRequirement, likewise. */
int ncr_ll_a2a_requirement(int blocks, int slots, void *handle, void *requirement) {
    struct ncr_library *library = ncr_called_library();
    char program[16];
    if (has_other_layout(library, program))
        return refuse_layout(library, "ncclLLA2ACreateRequirement", program);
    return NCR_TARGET(library, ncclLLA2ACreateRequirement)(blocks, slots, handle, requirement);
}

/** ncclTeamWorld before 2.28.3 (v2.30.7:nccl_device/core.cc:12). */
struct ncr_team ncr_team_world(ncr_comm comm) {
    struct ncr_library *library = ncr_called_library();
    struct ncr_team team = {0, 0, 0};
    if (NCR_TARGET(library, ncclCommCount)(comm, &team.ranks) != NCR_SUCCESS ||
        NCR_TARGET(library, ncclCommUserRank)(comm, &team.rank) != NCR_SUCCESS)
        return (struct ncr_team){0, 0, 0};
    team.stride = 1;
    return team;
}

/** ncclTeamRankToWorld before 2.28.3: arithmetic on the caller's own rank. */
int ncr_team_rank_to_world(ncr_comm comm, struct ncr_team team, int rank) {
    int own;
    if (NCR_TARGET(ncr_called_library(), ncclCommUserRank)(comm, &own) != NCR_SUCCESS)
        return -1;
    return own + (rank - team.rank) * team.stride;
}
