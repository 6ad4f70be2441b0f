/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a library that finds another one by its RUNPATH, and asks it to. usage: open_runpath function|thread LIBRARY */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    int (*ask)(void), *constructor;
    void *handle = argc > 2 ? dlopen(argv[2], RTLD_NOW) : NULL;
    if (!handle)
        return 2;
    *(void **)&ask = dlsym(handle, strcmp(argv[1], "thread") == 0 ? "open_sub_in_thread" : "open_sub");
    *(void **)&constructor = dlsym(handle, "opened_in_constructor");
    printf("constructor=%d later=%d\n", *constructor, ask());
    printf("program=%d\n", dlopen("libsub_of_nobody.so", RTLD_NOW) != NULL);
    return 0;
}
