/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread is inside the constructor of a library that it opens, and calls NCCL there; meanwhile another thread makes
 * its first NCCL call. usage: race_constructor constructor-first|caller-first EARLY_LIBRARY
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int to_opener[2], to_caller[2], to_constructor[2];
static int caller_first;

static void *open_library(void *path) {
    char byte;
    if (caller_first && read(to_opener[0], &byte, 1) != 1)
        return NULL;
    if (!dlopen(path, RTLD_NOW))
        fprintf(stderr, "%s\n", dlerror());
    return NULL;
}

/* The caller waits for the constructor, and the constructor for the caller (libraries/early.c). */
static void let_the_constructor_wait(void) {
    char pipes[64];
    snprintf(pipes, sizeof pipes, "%d %d", to_caller[1], to_constructor[0]);
    setenv("EARLY_PIPES", pipes, 1);
}

/* The opener waits until the caller is about to open the backend (libraries/slow_dlopen.c). */
static void let_the_opener_wait(void) {
    char pipe[16];
    snprintf(pipe, sizeof pipe, "%d", to_opener[1]);
    setenv("SLOW_DLOPEN_PIPE", pipe, 1);
}

int main(int argc, char **argv) {
    pthread_t opener;
    int (*get_version)(int *), version = -1, code = -1;
    char byte = 0;
    alarm(20);
    *(void **)&get_version = dlsym(RTLD_DEFAULT, "ncclGetVersion");
    if (argc < 3 || pipe(to_caller) != 0 || pipe(to_constructor) != 0 || pipe(to_opener) != 0 || !get_version)
        return 2;
    caller_first = strcmp(argv[1], "caller-first") == 0;
    if (caller_first)
        let_the_opener_wait();
    else
        let_the_constructor_wait();
    pthread_create(&opener, NULL, open_library, argv[2]);
    if (!caller_first && (read(to_caller[0], &byte, 1) != 1 || write(to_constructor[1], &byte, 1) != 1))
        return 2;
    code = get_version(&version);
    pthread_join(opener, NULL);
    printf("caller: code=%d version=%d\n", code, version);
    return code;
}
