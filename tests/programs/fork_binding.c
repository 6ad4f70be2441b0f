/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks before, during or after the binding; parent and children call NCCL and check the version. A child that hangs is
 * killed. usage: fork_binding before|during|after|spawn VERSION
 */
#include <dlfcn.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int (*get_version)(int *);
static int expected;

static int is_good(void) {
    int version = -1;
    return get_version(&version) == 0 && version == expected;
}

static void *bind_in_thread(void *good) {
    *(int *)good = is_good();
    return NULL;
}

static int good_in_a_child(void) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        _exit(is_good() ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

static int good_when_spawned(char *const *again) {
    extern char **environ;
    int status = -1;
    pid_t child;
    return posix_spawn(&child, again[0], NULL, NULL, again, environ) == 0 && waitpid(child, &status, 0) == child &&
           status == 0;
}

static int good_when_vforked(char *const *again) {
    int status = -1;
    pid_t child = vfork();
    if (child == 0) {
        execv(again[0], again);
        _exit(127);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv) {
    *(void **)&get_version = dlsym(RTLD_DEFAULT, "ncclGetVersion");
    if (argc < 3 || !get_version)
        return 2;
    alarm(60);
    expected = atoi(argv[2]);
    char *again[] = {argv[0], "before", argv[2], NULL};
    int parent = 0, children = 0, forks = 1;
    pthread_t thread;
    if (strcmp(argv[1], "during") == 0 || strcmp(argv[1], "spawn") == 0)
        pthread_create(&thread, NULL, bind_in_thread, &parent);
    else if (strcmp(argv[1], "after") == 0)
        parent = is_good();

    if (strcmp(argv[1], "during") == 0) {
        for (forks = 0; forks < 20; forks++, usleep(forks < 10 ? 1000 : 30000))
            children += good_in_a_child();
        pthread_join(thread, NULL);
    } else if (strcmp(argv[1], "spawn") == 0) {
        forks = 2;
        children = good_when_spawned(again) + good_when_vforked(again);
        pthread_join(thread, NULL);
    } else {
        children = good_in_a_child();
    }
    if (strcmp(argv[1], "before") == 0)
        parent = is_good();
    printf("parent=%d children=%d of %d\n", parent, children, forks);
    fflush(stdout);
    return parent && children == forks ? 0 : 1;
}
