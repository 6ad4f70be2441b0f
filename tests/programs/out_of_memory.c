/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens libnccl.so.2 again and again, each time in a child of its own and with another allocation that fails, then once
 * more with memory. Prints what the children came to: "opened" and "later" count those that had an NCCL at once and after
 * it, "wrong" those that had another version than the argument, "ended" those that were killed. The second argument is
 * "one" for one allocation that fails, "all" for all from it on.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPENED = 1, LATER = 2, WRONG = 4, DONE = 8 };

typedef long fail_function(long at, bool all);

static int version_of(void *handle) {
    int version = -1, (*get_version)(int *) = NULL;
    if (handle)
        *(void **)&get_version = dlsym(handle, "ncclGetVersion");
    if (get_version)
        get_version(&version);
    return version;
}

static int child(fail_function *fail, long at, bool all, int wanted) {
    int came = 0;
    alarm(20);
    fail(at, all);
    void *handle = dlopen("libnccl.so.2", RTLD_NOW);
    long allocations = fail(-1, false);
    int first = handle ? version_of(handle) : -1;
    int second = version_of(dlopen("libnccl.so.2", RTLD_NOW));
    came |= first == wanted ? OPENED : first > 0 ? WRONG : 0;
    came |= second == wanted ? LATER : second > 0 ? WRONG : 0;
    return came | (allocations <= at ? DONE : 0);
}

int main(int count, char **arguments) {
    fail_function *fail = NULL;
    int opened = 0, later = 0, wrong = 0, ended = 0, runs = 0, status = 0;
    *(void **)&fail = dlsym(RTLD_DEFAULT, "fail_malloc_at");
    if (!fail || count < 3)
        return 77;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (long at = 0; at < 5000 && !(WIFEXITED(status) && WEXITSTATUS(status) & DONE); at++, runs++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(child(fail, at, strcmp(arguments[2], "all") == 0, atoi(arguments[1])));
        waitpid(pid, &status, 0);
        int came = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        if (WIFSIGNALED(status))
            printf("allocation %ld: signal %d\n", at, WTERMSIG(status));
        else if (!(came & LATER))
            printf("allocation %ld: no NCCL later\n", at);
        ended += WIFSIGNALED(status);
        opened += (came & OPENED) != 0;
        later += (came & LATER) != 0;
        wrong += (came & WRONG) != 0;
    }
    printf("runs=%d opened=%d later=%d wrong=%d ended=%d\n", runs, opened, later, wrong, ended);
    return 0;
}
