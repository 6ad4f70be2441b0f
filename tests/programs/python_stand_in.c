/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for a Python that runs a script which uses NCCL: opens libnccl.so.2 and prints who answers. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    union {
        void *symbol;
        int (*function)(int *);
    } get;
    int version = 0;
    void *nccl = dlopen("libnccl.so.2", RTLD_NOW);
    get.symbol = nccl ? dlsym(nccl, "ncclGetVersion") : NULL;
    if (!get.symbol || get.function(&version) != 0) {
        fprintf(stderr, "%s: %s\n", argc > 1 ? argv[1] : argv[0], dlerror());
        return 1;
    }
    printf("%s: NCCL %d.%d.%d\n", argc > 1 ? argv[1] : argv[0], version / 10000, version / 100 % 100, version % 100);
    return 0;
}
