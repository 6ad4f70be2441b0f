/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a program in one of the ways that the C library and the kernel offer, and says how it ended.
 *
 * usage: starter fork|vfork|posix_spawn|clone|clone_vm|thread|small_thread PROGRAM ARGUMENT...
 */
#include <pthread.h>
#include <sched.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char **command;

static int run_command(void *unused) {
    (void)unused;
    execv(command[0], command);
    _exit(126);
}

static void *spawn(void *child) {
    if (posix_spawn(child, command[0], NULL, NULL, command, environ) != 0)
        *(pid_t *)child = -1;
    return NULL;
}

/* From a thread, with the smallest stack that there is if `least`. */
static pid_t from_thread(int least) {
    pthread_attr_t attributes;
    pthread_t thread;
    pid_t child = -1;
    pthread_attr_init(&attributes);
    if (least)
        pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
    if (pthread_create(&thread, &attributes, spawn, &child) == 0)
        pthread_join(thread, NULL);
    return child;
}

static pid_t start(const char *way) {
    static char stack[1 << 16] __attribute__((aligned(16)));
    pid_t child = -1;
    if (strcmp(way, "fork") == 0) {
        if ((child = fork()) == 0)
            run_command(NULL);
    } else if (strcmp(way, "vfork") == 0) {
        if ((child = vfork()) == 0) {
            execv(command[0], command);
            _exit(126);
        }
    } else if (strcmp(way, "posix_spawn") == 0)
        spawn(&child);
    else if (strcmp(way, "clone") == 0)
        child = clone(run_command, stack + sizeof stack, SIGCHLD, NULL);
    else if (strcmp(way, "clone_vm") == 0)
        child = clone(run_command, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    else if (strcmp(way, "thread") == 0 || strcmp(way, "small_thread") == 0)
        child = from_thread(way[0] == 's');
    return child;
}

int main(int argc, char **argv) {
    int status = 0;
    if (argc < 3)
        return 2;
    command = argv + 2;
    pid_t child = start(argv[1]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 3;
    printf("%s: status %x\n", argv[1], (unsigned)status);
    return 0;
}
