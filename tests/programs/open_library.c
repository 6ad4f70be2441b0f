/* SPDX-License-Identifier: Apache-2.0 */
/* Not linked with NCCL: opens each library that it is given. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!dlopen(argv[i], RTLD_NOW)) {
            printf("%s\n", dlerror());
            return 1;
        }
    return 0;
}
