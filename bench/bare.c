/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program must do at least to use an NCCL by hand: dlopen, dlsym of every name of the table, one call.
 *
 * usage: bare /path/libnccl.so.2
 */
#include <dlfcn.h>
#include <stdio.h>

static const char *const names[] = {
#define XX(name, since, result, route, makes) #name, "p" #name,
#define XX_SOLO(name, since, result, route, makes) #name,
#include "abi/nccl_api.def"
};

int main(int argc, char **argv) {
    void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!handle)
        return 1;
    union {
        void *symbol;
        int (*function)(int *);
    } found[sizeof names / sizeof *names];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        found[i].symbol = dlsym(handle, names[i]);
    int version = 0;
    return found[0].function(&version) || version == 0;
}
