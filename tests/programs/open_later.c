/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Not linked with NCCL, as a Python is: opens the library that it is told later, or looks ncclGetVersion up by name.
 * Prints which NCCLs are mapped before and after. usage: open_later LIBRARY | open_later
 */
#include "maps.h"

#include <dlfcn.h>

int main(int argc, char **argv) {
    int (*get_version)(int *) = NULL, version = -1, code = -1;
    print_mapped("main");
    void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW) : RTLD_DEFAULT;
    if (handle || argc == 1)
        *(void **)&get_version = dlsym(handle, "ncclGetVersion");
    else
        printf("dlerror: %s\n", dlerror());
    print_mapped("opened");
    if (get_version)
        code = get_version(&version);
    printf("code=%d version=%d\n", code, version);
    print_mapped("end");
    return 0;
}
