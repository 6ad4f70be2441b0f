/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend that records what reaches it: configurations, device structs, windows. Its version is RECORDER_VERSION, as
 * in nccl_api.def.
 */
#define OWN_ncclGetVersion 1
#define OWN_ncclGetErrorString 1
#define OWN_ncclGetLastError 1
#define OWN_ncclCommInitRankConfig 1
#define OWN_ncclCommInitRankScalable 1
#define OWN_ncclCommSplit 1
#define OWN_ncclCommShrink 1
#define OWN_ncclCommGrow 1
#define OWN_ncclDevCommCreate 1
#define OWN_ncclLsaBarrierCreateRequirement 1
#define OWN_ncclLLA2ACreateRequirement 1
#define OWN_ncclCommWindowRegister 1
#define OWN_ncclCommCount 1
#define OWN_ncclSend 1
#define OWN_ncclAlltoAll 1
#include "stub_nccl.h"

#include "adapt_recorder.h"

#include <stdlib.h>
#include <string.h>

struct id {
    char bytes[128];
};

struct team {
    int ranks, rank, stride;
};

int ncclGetVersion(int *version);
const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *comm);
int ncclCommInitRankConfig(void **comm, int ranks, struct id id, int rank, void *config);
int ncclCommInitRankScalable(void **comm, int ranks, int rank, int count, struct id *ids, void *config);
int ncclCommSplit(void *comm, int color, int key, void **new_comm, void *config);
int ncclCommShrink(void *comm, int *excluded, int count, void **new_comm, void *config, int flags);
int ncclCommGrow(void *comm, int ranks, const struct id *id, int rank, void **new_comm, void *config);
int ncclDevCommCreate(void *comm, const void *requirements, void *device_comm);
int ncclLsaBarrierCreateRequirement(struct team team, int barriers, void *handle, void *out);
int ncclLLA2ACreateRequirement(int blocks, int slots, void *handle, void *out);
int ncclCommWindowRegister(void *comm, void *buffer, size_t size, void **window, int flags);
int ncclCommCount(void *comm, int *count);
int ncclSend(void);

static struct recorded recorded;

int ncclGetVersion(int *version) {
    const char *text = getenv("RECORDER_VERSION");
    *version = text ? atoi(text) : 22809;
    return 0;
}

const char *ncclGetErrorString(int code) {
    return code == 4711 ? (const char *)&recorded : "recorder";
}

const char *ncclGetLastError(void *comm) {
    (void)comm;
    return "";
}

static int record(const char *function, const void *config) {
    size_t size = 0;
    unsigned sends = recorded.sends;
    memset(&recorded, 0, sizeof recorded);
    recorded.sends = sends;
    recorded.function = function;
    recorded.config = config;
    if (config) {
        memcpy(&size, config, sizeof size);
        memcpy(recorded.bytes, config, size < sizeof recorded.bytes ? size : sizeof recorded.bytes);
    }
    return 0;
}

int ncclCommInitRankConfig(void **comm, int ranks, struct id id, int rank, void *config) {
    (void)comm, (void)ranks, (void)id, (void)rank;
    return record("ncclCommInitRankConfig", config);
}

int ncclCommInitRankScalable(void **comm, int ranks, int rank, int count, struct id *ids, void *config) {
    (void)comm, (void)ranks, (void)rank, (void)count, (void)ids;
    return record("ncclCommInitRankScalable", config);
}

int ncclCommSplit(void *comm, int color, int key, void **new_comm, void *config) {
    (void)comm, (void)color, (void)key, (void)new_comm;
    return record("ncclCommSplit", config);
}

int ncclCommShrink(void *comm, int *excluded, int count, void **new_comm, void *config, int flags) {
    (void)comm, (void)excluded, (void)count, (void)new_comm, (void)flags;
    return record("ncclCommShrink", config);
}

int ncclCommGrow(void *comm, int ranks, const struct id *id, int rank, void **new_comm, void *config) {
    (void)comm, (void)ranks, (void)id, (void)rank, (void)new_comm;
    return record("ncclCommGrow", config);
}

int ncclDevCommCreate(void *comm, const void *requirements, void *device_comm) {
    record("ncclDevCommCreate", NULL);
    (void)comm;
    recorded.from = requirements;
    recorded.arguments = device_comm;
    return 0;
}

int ncclLsaBarrierCreateRequirement(struct team team, int barriers, void *handle, void *out) {
    (void)team, (void)barriers, (void)handle;
    record("ncclLsaBarrierCreateRequirement", NULL);
    recorded.from = out;
    return 0;
}

int ncclLLA2ACreateRequirement(int blocks, int slots, void *handle, void *out) {
    (void)blocks, (void)slots, (void)handle;
    record("ncclLLA2ACreateRequirement", NULL);
    recorded.from = out;
    return 0;
}

/* A window that is not NULL, made at once, or for size 4242 later, as in a group. */
int ncclCommWindowRegister(void *comm, void *buffer, size_t size, void **window, int flags) {
    (void)comm, (void)flags;
    if (size != 4242)
        *window = (char *)buffer + 1;
    return 0;
}

int ncclCommCount(void *comm, int *count) {
    (void)comm;
    *count = 3;
    return 0;
}

/* ncclInProgress, as a communicator that does not block may answer in a group. */
int ncclSend(void) {
    recorded.sends++;
    return 7;
}

#ifndef LACKS_ALL_TO_ALL
int ncclAlltoAll(void);
int ncclAlltoAll(void) {
    return record("ncclAlltoAll", NULL);
}
#endif
