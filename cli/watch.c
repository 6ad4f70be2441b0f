/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run --watch: the command runs as a child of the tool, which looks at the traces now and then. If no call was made for
 * so long while a rank waits, what `hang` finds is printed once, and the job continues.
 */
#include "traces.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t child;

/* Signals for the command are passed on to it; those that a terminal sends reach it by themselves. */
static void pass_on(int signal) {
    if (child > 0)
        kill(child, signal);
}

static double seconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t progress(struct trace_set *set) {
    uint64_t sum = 1;
    for (unsigned i = 0; i < set->count; i++)
        sum = sum * 31 + trace_progress_of(set->files[i]) + set->files[i]->life;
    return sum;
}

/* Prints the sentence if somebody waits. */
static bool tell(struct trace_set *set, double seconds) {
    struct trace_findings findings;
    traces_match(set);
    trace_judge(set, &findings);
    bool wrong = findings.list[0].kind != TRACE_NOTHING_WRONG;
    if (wrong)
        complain("no call of NCCL for %.0f s: %s (nccl-redirect hang says more)", seconds,
                 ncr_text_get(&findings.list[0].sentence));
    trace_findings_free(&findings);
    return wrong;
}

struct watching {
    double limit, since;
    uint64_t last;
    bool told;
};

static void look(struct watching *watching) {
    static char *none[] = {NULL};
    struct trace_set set;
    traces_open(&set, none, true);
    uint64_t now = progress(&set);
    if (now != watching->last) {
        watching->last = now;
        watching->since = seconds_now();
        watching->told = false;
    } else if (set.count && !watching->told && seconds_now() - watching->since >= watching->limit) {
        watching->told = true; /* once, whatever it says; again after something has moved */
        tell(&set, seconds_now() - watching->since);
    }
    trace_set_close(&set);
}

static int status_of(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/** Is the value of --watch valid? Then *limit is set. */
bool watch_limit(const char *text, double *limit) {
    char *end;
    *limit = strtod(text, &end);
    return end != text && !*end && *limit > 0 && *limit < 1e7;
}

/** Start the command by `become`, which returns only on an error, and watch it. Returns its exit status. */
int run_watched(int (*become)(const struct command *command), const struct command *command, double limit) {
    static const int passed[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT};
    struct watching watching = {limit, seconds_now(), 0, false};
    double every = limit / 4 < 0.2 ? 0.2 : limit / 4 > 5 ? 5 : limit / 4;
    int status = 0, pid = fork();
    if (pid < 0) {
        complain("%s is not started: %m", command->argv[0]);
        return EXIT_CANNOT_RUN;
    }
    if (pid == 0)
        _exit(become(command));
    child = pid;
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        signal(passed[i], pass_on);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the command itself; we end when it does */
    for (double next = seconds_now() + every;;) {
        int got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            break;
        if (got < 0 && errno != EINTR)
            return EXIT_CANNOT_RUN;
        nanosleep(&(struct timespec){0, 20000000}, NULL);
        if (seconds_now() >= next) {
            look(&watching);
            next = seconds_now() + every;
        }
    }
    return status_of(status);
}
