/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what other users control can take for ever: a file on a network or FUSE file system whose server does not
 * answer, a process whose memory lies there (its command line is read from it). The kernel ends such a wait only by
 * killing the process. So a child reads, item by item, and puts what it finds into memory that it shares with us; where
 * it makes no progress it is killed, the item is marked, and another child continues with the next one.
 */
#include "cli.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_TEXT ((size_t)64 << 20)

struct shared {
    volatile unsigned at; /* the item that is being read */
    size_t used;
    char text[MOST_TEXT];
};

static struct shared *shared; /* made before the first child; both sides have it at the same address */

/** In a child: a copy of a string where the parent can read it; "" when the space is used up. */
const char *worker_text(const char *text) {
    size_t size = text ? strlen(text) + 1 : 0;
    if (!size)
        return NULL;
    if (size > MOST_TEXT - shared->used)
        return "";
    char *copy = shared->text + shared->used;
    shared->used += size;
    return memcpy(copy, text, size);
}

/** Memory that is shared with the children, or NULL. */
void *worker_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static long long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static _Noreturn void work_from(unsigned first, unsigned count, worker_item *read, void *arg) {
    for (unsigned i = first; i < count; i++) {
        shared->at = i;
        read(arg, i);
    }
    shared->at = count;
    _exit(0);
}

/* Wait until the child ends (true), or stands at one item for too long, or the time is up. */
static bool wait_for(int alive, long long deadline) {
    unsigned at = shared->at;
    long long since = milliseconds();
    for (;;) {
        struct pollfd end = {.fd = alive, .events = POLLIN};
        if (poll(&end, 1, 50) != 0)
            return true;
        long long now = milliseconds();
        if (shared->at != at) {
            at = shared->at;
            since = now;
        } else if (now - since > WORKER_STALL_MS || now > deadline) {
            return false;
        }
    }
}

/* One child, for the items from `first` on. Returns the item at which it stopped, `count` if it came to the end. */
static unsigned run_child(unsigned first, unsigned count, worker_item *read, void *arg, long long deadline) {
    int ends[2];
    if (pipe(ends) != 0)
        return first;
    fflush(NULL);
    shared->at = first;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        work_from(first, count, read, arg);
    }
    close(ends[1]);
    bool ended = child > 0 && wait_for(ends[0], deadline);
    close(ends[0]);
    if (child > 0 && !ended)
        kill(child, SIGKILL);
    if (child > 0)
        waitpid(child, NULL, ended ? 0 : WNOHANG); /* one that waits for a dead server may outlive us */
    return child > 0 ? shared->at : first;
}

/**
 * Call `read` for the items 0 to count - 1, in children. `stuck` is told of each at which a child hung or crashed. Returns
 * how many were read or stuck: fewer than `count` when WORKER_TIME_MS are over.
 */
unsigned worker_run(unsigned count, worker_item *read, worker_item *stuck, void *arg) {
    long long deadline = milliseconds() + WORKER_TIME_MS;
    shared = shared ? shared : worker_memory(sizeof *shared);
    unsigned next = 0;
    while (shared && next < count && milliseconds() <= deadline) {
        next = run_child(next, count, read, arg, deadline);
        if (next < count)
            stuck(arg, next++);
    }
    return next;
}
