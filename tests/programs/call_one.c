/* SPDX-License-Identifier: Apache-2.0 */
/* Opens libnccl.so.2, calls the named function with zeroes for arguments, prints its code and the last error. */
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **arguments) {
    void *nccl = dlopen("libnccl.so.2", RTLD_NOW);
    union {
        void *symbol;
        int (*call)(long, long, long, long, long, long);
        const char *(*text)(void *);
    } function = {nccl && count == 2 ? dlsym(nccl, arguments[1]) : NULL},
      last = {nccl ? dlsym(nccl, "ncclGetLastError") : NULL};
    if (!function.symbol || !last.symbol)
        return 1;
    int code = function.call(0, 0, 0, 0, 0, 0);
    printf("code=%d last=\"%s\"\n", code, last.text(NULL));
    return 0;
}
