/* SPDX-License-Identifier: Apache-2.0 */
/* Opens each file that it is given, and prints what its plugin_answer() says. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        int (*answer)(void) = NULL;
        void *handle = dlopen(argv[i], RTLD_NOW);
        if (handle)
            *(void **)&answer = dlsym(handle, "plugin_answer");
        printf("%d\n", answer ? answer() : -1);
    }
    return 0;
}
