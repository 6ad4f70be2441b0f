/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend whose constructor calls its own public functions, and opens libnccl.so.2 by name and the file in
 * SELF_OPENS. What it got is told by ncclGetErrorString(4711).
 */
#define OWN_ncclGetVersion 1
#define OWN_ncclCommCount 1
#define OWN_ncclGetErrorString 1
#define OWN_ncclGetLastError 1
#include "stub_nccl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int ncclGetVersion(int *version);
int ncclCommCount(void *comm, int *count);
const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *comm);

static char seen[256] = "the constructor did not run";

int ncclGetVersion(int *version) {
    *version = 23007;
    return 0;
}

int ncclCommCount(void *comm, int *count) {
    (void)comm;
    *count = 17;
    return 0;
}

const char *ncclGetErrorString(int code) {
    return code == 4711 ? seen : "self-calling";
}

const char *ncclGetLastError(void *comm) {
    (void)comm;
    return "";
}

static int count_by(void *handle) {
    int (*comm_count)(void *, int *), count = -1;
    *(void **)&comm_count = handle ? dlsym(handle, "ncclCommCount") : NULL;
    return comm_count && comm_count(NULL, &count) == 0 ? count : -1;
}

static int version_by(void *handle) {
    int (*get_version)(int *), version = -1;
    *(void **)&get_version = handle ? dlsym(handle, "ncclGetVersion") : NULL;
    return get_version && get_version(&version) == 0 ? version : -1;
}

__attribute__((constructor)) static void start(void) {
    int version = -1, count = -1, code = ncclGetVersion(&version), code2 = ncclCommCount(NULL, &count);
    const char *other = getenv("SELF_OPENS");
    void *by_name = dlopen("libnccl.so.2", RTLD_NOW), *by_path = other ? dlopen(other, RTLD_NOW) : NULL;
    snprintf(seen, sizeof seen, "version %d %d count %d %d by name %d by path %d", code, version, code2, count,
             count_by(by_name), version_by(by_path));
}
