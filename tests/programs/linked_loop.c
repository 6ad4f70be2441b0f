/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs into the same error for ever, as programs that retry do. Prints how many bytes the last rounds have left behind,
 * and the newest error.
 *
 * usage: linked_loop CASE ROUNDS
 */
#include "../../include/nccl_redirect.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int ncclPutSignal(const void *, size_t, int, int, void *, size_t, int, int, unsigned, void *, void *);
const char *ncclGetLastError(void *);

static void choose(int round) {
    nccl_redirect_use(round % 2 ? "/none/b.so" : "/none/a.so");
}

static void choose_another(int round) {
    char path[64];
    snprintf(path, sizeof path, "/none/%d.so", round);
    nccl_redirect_use(path);
}

static void call_lacking(int round) {
    (void)round;
    ncclPutSignal(NULL, 0, 0, 0, NULL, 0, 0, 0, 0, NULL, NULL);
}

static void open_nccl(int round) {
    (void)round;
    dlopen("libnccl.so.2", RTLD_NOW);
    dlerror();
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(int round);
    } cases[] = {{"use", choose}, {"another", choose_another}, {"lacking", call_lacking}, {"dlopen", open_nccl}};
    int rounds = count > 2 ? atoi(arguments[2]) : 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (count < 3 || strcmp(arguments[1], cases[i].name) != 0)
            continue;
        size_t before = 0;
        for (int round = 0; round < rounds; round++) {
            if (round == rounds / 2)
                before = mallinfo2().uordblks;
            cases[i].run(round);
        }
        printf("more %zd\nlast %s\n", (ssize_t)(mallinfo2().uordblks - before), ncclGetLastError(NULL));
        fflush(stdout);
        if (fork() == 0) { /* whose errors are its own */
            cases[i].run(0);
            cases[i].run(0);
            _exit(0);
        }
        wait(NULL);
        return 0;
    }
    return 2;
}
