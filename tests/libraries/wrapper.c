/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend that wraps another NCCL: opens the file in WRAPS by its absolute path, in its constructor (WRAPS_EARLY) or
 * when it is asked for a unique id, and answers with that one's.
 */
#define OWN_ncclGetVersion 1
#define OWN_ncclGetUniqueId 1
#define OWN_ncclGetErrorString 1
#define OWN_ncclGetLastError 1
#include "stub_nccl.h"

#include <dlfcn.h>
#include <stdlib.h>

int ncclGetVersion(int *version);
int ncclGetUniqueId(void *id);
const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *comm);

static void *wrapped(const char *name) {
    static void *handle;
    if (!handle)
        handle = dlopen(getenv("WRAPS"), RTLD_NOW | RTLD_LOCAL);
    return handle ? dlsym(handle, name) : NULL;
}

int ncclGetVersion(int *version) {
    *version = 22105;
    return 0;
}

int ncclGetUniqueId(void *id) {
    int (*real)(void *);
    *(void **)&real = wrapped("ncclGetUniqueId");
    return real ? real(id) : 3;
}

const char *ncclGetErrorString(int code) {
    (void)code;
    return "wrapped";
}

const char *ncclGetLastError(void *comm) {
    (void)comm;
    return "";
}

__attribute__((constructor)) static void start(void) {
    if (getenv("WRAPS_EARLY"))
        wrapped("ncclGetUniqueId");
}
