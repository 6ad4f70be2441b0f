/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the device API reaches the backend (tests/libraries/adapt_recorder.c), the windows of a backend that cannot
 * tell their buffers, and by which calls an exchange gets there.
 *
 * usage: adapt_device PATH VERSION    of the header that the program shall be compiled for: one
 *                                      configuration of it is passed first; 0: none is
 */
#include "adapt_newest.h"

#include "../libraries/adapt_recorder.h"

typedef ncclResult_t barrier(ncclTeam_t, int, void *, void *);
typedef ncclResult_t all_to_all_slots(int, int, void *, void *);
typedef ncclResult_t user_pointer(ncclComm_t, ncclWindow_t, void **);
typedef ncclResult_t deregister(ncclComm_t, ncclWindow_t);

static const char *passed(const char *function) {
    const struct recorded *seen = (const struct recorded *)nccl.GetErrorString((ncclResult_t)4711);
    return seen->function && strcmp(seen->function, function) == 0 ? "passed" : "kept";
}

static void device(int version) {
    struct newest_config config = newest_config(1);
    ncclComm_t comm = (ncclComm_t)&config;
    ncclUniqueId id = {{0}};
    char room[512] = {0};
    /* Two lists, then flags and counts: of a 2.28. */
    char old_requirements[56] = {0};
    ncclConfig_t new_requirements = {120, NCCL_API_MAGIC, NEWEST, 0};
    ncclTeam_t team = {2, 0, 1};
    config.head.version = (unsigned)version;
    if (version)
        nccl.CommInitRankConfig(&comm, 1, id, 0, &config.head);
    int code = nccl.DevCommCreate(comm, old_requirements, room);
    printf("old struct: %d %s\n", code, passed("ncclDevCommCreate"));
    code = ((barrier *)find("ncclLsaBarrierCreateRequirement"))(team, 1, room, room);
    printf("barrier: %d %s\n", code, passed("ncclLsaBarrierCreateRequirement"));
    code = ((all_to_all_slots *)find("ncclLLA2ACreateRequirement"))(1, 1, room, room);
    printf("slots: %d %s\n", code, passed("ncclLLA2ACreateRequirement"));
    code = nccl.DevCommCreate(comm, &new_requirements, room);
    printf("new struct: %d %s\n", code, passed("ncclDevCommCreate"));
    code = nccl.DevCommCreate(comm, NULL, room);
    printf("no struct: %d %s\n", code, passed("ncclDevCommCreate"));
}

/* RCCL's name of ncclAlltoAll, and either of them where there is none. */
static void exchange(void) {
    ncclResult_t (*other)(const void *, void *, size_t, ncclDataType_t, ncclComm_t, void *) = find("ncclAllToAll");
    char from[3], to[3];
    int code = other(from, to, 1, ncclInt8, (ncclComm_t)from, NULL);
    printf("exchange: %d %s %u\n", code, passed("ncclAlltoAll"),
           ((const struct recorded *)nccl.GetErrorString((ncclResult_t)4711))->sends);
}

static void windows(void) {
    char buffer[8], other[8];
    ncclComm_t comm = (ncclComm_t)buffer;
    ncclWindow_t window, second, late = (ncclWindow_t)buffer;
    void *pointer = NULL;
    user_pointer *get = (user_pointer *)find("ncclWinGetUserPtr");
    nccl.CommWindowRegister(comm, buffer, 8, &window, 0);
    nccl.CommWindowRegister(comm, other, 8, &second, 0);
    int code = get(comm, window, &pointer);
    printf("window: %d %s\n", code, pointer == buffer ? "right" : "wrong");
    code = get(comm, second, &pointer);
    printf("second: %d %s\n", code, pointer == other ? "right" : "wrong");
    code = get(comm, NULL, &pointer);
    printf("none: %d %s\n", code, pointer ? "wrong" : "right");
    nccl.CommWindowRegister(comm, buffer, 4242, &late, 0);
    printf("late: %s\n", late ? "kept" : "cleared");
    code = get(comm, (ncclWindow_t)other, &pointer);
    printf("unknown: %d %s\n", code, pointer ? "wrong" : "right");
    ((deregister *)find("ncclCommWindowDeregister"))(comm, window);
    code = get(comm, window, &pointer);
    printf("gone: %d %s\n", code, nccl.GetLastError(NULL));
    code = get(comm, second, &pointer);
    printf("still: %d %s\n", code, pointer == other ? "right" : "wrong");
}

int main(int argc, char **argv) {
    if (argc != 3 || !newest_load(argv[1]))
        return 2;
    device(atoi(argv[2]));
    windows();
    exchange();
    return 0;
}
