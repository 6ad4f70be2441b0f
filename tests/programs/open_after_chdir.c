/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to the root folder, then opens an NCCL and asks its version. */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int (*get_version)(int *) = NULL, version = -1, code = -1;
    if (argc < 2 || chdir("/") != 0)
        return 2;
    void *handle = dlopen(argv[1], RTLD_NOW);
    if (handle)
        *(void **)&get_version = dlsym(handle, "ncclGetVersion");
    else
        printf("%s\n", dlerror());
    if (get_version)
        code = get_version(&version);
    printf("code=%d version=%d\n", code, version);
    return 0;
}
