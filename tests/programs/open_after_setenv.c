/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes its own environment, then opens libnccl.so.2 and prints the version that answers. Arguments: "NAME=value" is
 * set, "NAME=" unset; "--title" writes over the place where the kernel put arguments and variables, as programs do that
 * change the title shown by ps (setproctitle); "--race" lets another thread set variables all the time meanwhile, and
 * asks the preload library 300 times.
 */
#include "../../include/nccl_redirect.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static void write_title(char **arguments) {
    char **old = environ, *end = arguments[0];
    size_t count = 0;
    while (old[count])
        end = old[count++];
    end += strlen(end);
    char **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = strdup(old[i]);
    environ = copy;
    memset(arguments[0], 0, (size_t)(end - arguments[0]));
    strcpy(arguments[0], "worker");
}

static _Atomic int running, stop;

static void *set_variables(void *arg) {
    char name[40];
    for (int i = 0; !stop; i++) {
        snprintf(name, sizeof name, "SOME_VARIABLE_%d", i % 3000);
        setenv(name, "value", 1);
        running = i > 50;
    }
    return arg;
}

int main(int count, char **arguments) {
    pthread_t thread;
    int race = 0, title = 0;
    for (int i = 1; i < count; i++) {
        char *equals = strchr(arguments[i], '=');
        race |= strcmp(arguments[i], "--race") == 0;
        title |= strcmp(arguments[i], "--title") == 0;
        if (!equals)
            continue;
        char *name = strndup(arguments[i], (size_t)(equals - arguments[i]));
        if (equals[1])
            setenv(name, equals + 1, 1);
        else
            unsetenv(name);
        free(name);
    }
    if (title)
        write_title(arguments);
    if (race) {
        pthread_create(&thread, NULL, set_variables, NULL);
        while (!running)
            ;
    }
    int version = -1, (*get_version)(int *) = NULL;
    void *handle = dlopen("libnccl.so.2", RTLD_NOW);
    if (handle)
        *(void **)&get_version = dlsym(handle, "ncclGetVersion");
    else
        printf("%s\n", dlerror());
    if (get_version)
        get_version(&version);
    char reason[256];
    for (int i = 0; race && i < 300; i++)
        nccl_redirect_available("system", reason, sizeof reason);
    stop = 1;
    if (race)
        pthread_join(thread, NULL);
    printf("version=%d\n", version);
    return 0;
}
