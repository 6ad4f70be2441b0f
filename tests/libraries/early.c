/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that is not linked with NCCL and calls it in its constructor, where it is there. EARLY_PIPES="A B": says so
 * on descriptor A when the constructor runs, and waits for a byte from B first.
 */
#include "say.h"

#include <dlfcn.h>
#include <stdlib.h>

static void meet(const char *pipes) {
    char byte = 0;
    int out = 0, in = 0;
    if (sscanf(pipes, "%d %d", &out, &in) != 2 || write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
        _exit(3);
    usleep(300000); /* the other thread gets as far as it can */
}

__attribute__((constructor)) static void early(void) {
    int version = -1, code = -1;
    int (*get_version)(int *);
    if (getenv("EARLY_PIPES"))
        meet(getenv("EARLY_PIPES"));
    *(void **)&get_version = dlsym(RTLD_DEFAULT, "ncclGetVersion");
    if (get_version)
        code = get_version(&version);
    say("constructor: code=%d version=%d\n", code, version);
}
