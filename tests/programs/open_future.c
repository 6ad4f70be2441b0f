/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Not linked with NCCL: opens a library that needs a function which the shim does not know, and asks it.
 *
 *   open_future LIBRARY          a library with the function future(), which calls it
 *   open_future handle LIBRARY   an NCCL: the function by that handle, and whose ncclGetVersion the handle has
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static int by_handle(void *handle) {
    int (*future)(int *) = NULL, answer = -1;
    Dl_info place;
    void *symbol = dlsym(handle, "ncclHostmemFuture");
    if (!symbol)
        return puts("no ncclHostmemFuture") < 0;
    *(void **)&future = symbol;
    future(&answer);
    printf("answer=%d\n", answer);
    if (dladdr(dlsym(handle, "ncclGetVersion"), &place))
        printf("ncclGetVersion is in %s\n", strrchr(place.dli_fname, '/') + 1);
    return 0;
}

int main(int argc, char **argv) {
    int (*future)(void) = NULL;
    void *handle = argc > 1 ? dlopen(argv[argc - 1], RTLD_NOW) : NULL;
    if (!handle)
        return printf("%s\n", dlerror()) > 0;
    if (argc > 2)
        return by_handle(handle);
    *(void **)&future = dlsym(handle, "future");
    printf("answer=%d\n", future());
    return 0;
}
