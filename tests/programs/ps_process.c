/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank of a job that uses NCCL and stays: opens libnccl.so.2, adds its process id to ./ready, and stays until that
 * file is gone. With a folder as second argument it also maps the libnccl.so.2 of that folder, in a link-map namespace
 * without the preload library.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char path[4096];
    if (!dlopen("libnccl.so.2", RTLD_NOW)) {
        puts(dlerror());
        return 1;
    }
    snprintf(path, sizeof path, "%s/libnccl.so.2", argc > 2 ? argv[2] : "");
    if (argc > 2 && !dlmopen(LM_ID_NEWLM, path, RTLD_NOW)) {
        puts(dlerror());
        return 1;
    }
    FILE *ready = fopen("ready", "a");
    if (!ready || fprintf(ready, "%d\n", (int)getpid()) < 0 || fclose(ready) != 0)
        return 1;
    while (access("ready", F_OK) == 0)
        usleep(20000);
    return 0;
}
