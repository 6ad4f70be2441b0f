/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time whole processes against each other: the commands are run in turn, the order reversed every time, so that what
 * slows the machine down slows all of them. Prints per round the nanoseconds of each command: the lower quartile,
 * because what disturbs a run only ever makes it longer.
 *
 * usage: spawn [--cpu] ROUNDS REPEATS -- [NAME=VALUE...] /program [ARGUMENT...] [-- ...]
 *
 * --cpu: the time that processors worked for the command, which waiting for others on a busy machine is no part of.
 * Each command's environment is its NAME=VALUE words and PATH, nothing else; its output is dropped. Exits 1 if one
 * fails.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { MOST_COMMANDS = 8, MOST_WORDS = 64, MOST_REPEATS = 10000 };

struct command {
    char *environment[MOST_WORDS];
    char **arguments;
    double times[MOST_REPEATS];
};

static struct command commands[MOST_COMMANDS];

static int of_cpu; /* --cpu; set once, in main */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Cut the words behind each "--" into environment and arguments; returns the number of commands. */
static int parse(char **words) {
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    int count = 0;
    while (*words && count < MOST_COMMANDS) {
        struct command *command = &commands[count++];
        int variables = 0;
        *words++ = NULL; /* the "--" also ends the arguments before it */
        command->environment[variables++] = path;
        for (; *words && **words != '/' && strchr(*words, '=') && variables < MOST_WORDS - 1; words++)
            command->environment[variables++] = *words;
        if (!*words || **words != '/')
            return 0;
        command->arguments = words;
        while (*words && strcmp(*words, "--") != 0)
            words++;
    }
    return count;
}

static double run(struct command *command, const posix_spawn_file_actions_t *quiet) {
    pid_t child;
    struct rusage used;
    int status = 0;
    double start = now();
    char *program = command->arguments[0];
    if (!program || posix_spawn(&child, program, quiet, NULL, command->arguments, command->environment) != 0 ||
        wait4(child, &status, 0, &used) != child || status != 0) {
        fprintf(stderr, "spawn: %s fails (status %d)\n", program ? program : "nothing", status);
        exit(1);
    }
    if (of_cpu)
        return 1e9 * (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               1e3 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    return now() - start;
}

int main(int argc, char **argv) {
    of_cpu = argc > 1 && strcmp(argv[1], "--cpu") == 0;
    argv += of_cpu;
    if (argc - of_cpu < 5)
        return 2;
    int rounds = (int)strtol(argv[1], NULL, 10), repeats = (int)strtol(argv[2], NULL, 10), count = parse(argv + 3);
    if (count == 0 || repeats < 1 || repeats > MOST_REPEATS)
        return 2;
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    for (int c = 0; c < count; c++)
        run(&commands[c], &quiet); /* warms the caches */
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < repeats; i++)
            for (int c = 0; c < count; c++) {
                struct command *command = &commands[i % 2 ? count - 1 - c : c];
                command->times[i] = run(command, &quiet);
            }
        for (int c = 0; c < count; c++) {
            qsort(commands[c].times, (size_t)repeats, sizeof(double), by_size);
            printf("%.0f%s", commands[c].times[repeats / 4], c == count - 1 ? "\n" : " ");
        }
    }
    return 0;
}
