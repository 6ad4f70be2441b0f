/*
 * The host side of the device API. Its structs are compiled into the program's kernels and changed with nearly every version;
 * no shim can convert them, so what a 2.28 would misread is refused before it can crash there.
 */
#include "bridge.h"

#include <string.h>

/* 2.28.3 and 2.28.7 differ in ncclDevCommRequirements (24 and 56 bytes), and neither has a size or version in it. */
static bool same_layout(int a, int b) {
    return (a < 22807) == (b < 22807);
}

/**
 * ncclDevCommCreate on a 2.28, whose struct has no header: one from 2.29 on (recognised by its magic) would be taken for a list
 * and followed (v2.28.9:dev_runtime.cc:661); one from the other 2.28 would be read with the wrong layout.
 */
int ncr_dev_comm_create(ncr_comm comm, const void *requirements, void *device_comm) {
    struct ncr_library *library = ncr_library_of(comm);
    int present = library->backend.version, program = ncr_program_version();
    unsigned magic = 0;
    if (requirements)
        memcpy(&magic, (const char *)requirements + offsetof(struct ncr_versioned, magic), sizeof magic);
    if (magic == NCR_MAGIC)
        return ncr_refuse_lacking(library, "ncclDevCommCreate", " of a program compiled for it", 22902);
    if (!program || !same_layout(program, present)) {
        char text[16];
        ncr_version_text(program, text);
        return ncr_refuse(library,
                          "ncclDevCommCreate: the struct of the program's NCCL header (%s) has another layout than this backend's, "
                          "or may have; they must be of one version",
                          program ? text : "version unknown");
    }
    return NCR_OWN(library, ncclDevCommCreate)(comm, requirements, device_comm);
}

/** ncclTeamWorld before 2.28.3 (v2.30.7:nccl_device/core.cc:12). */
struct ncr_team ncr_team_world(ncr_comm comm) {
    struct ncr_library *library = ncr_library_of(comm);
    struct ncr_team team = {0, 0, 0};
    if (NCR_OWN(library, ncclCommCount)(comm, &team.ranks) != NCR_SUCCESS ||
        NCR_OWN(library, ncclCommUserRank)(comm, &team.rank) != NCR_SUCCESS)
        return (struct ncr_team){0, 0, 0};
    team.stride = 1;
    return team;
}

/** ncclTeamRankToWorld before 2.28.3: arithmetic on the caller's own rank. */
int ncr_team_rank_to_world(ncr_comm comm, struct ncr_team team, int rank) {
    int own;
    if (NCR_OWN(ncr_library_of(comm), ncclCommUserRank)(comm, &own) != NCR_SUCCESS)
        return -1;
    return own + (rank - team.rank) * team.stride;
}
