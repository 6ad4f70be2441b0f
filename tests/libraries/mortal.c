/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NCCL that can die: what it made at its start is destroyed at the program's exit, as C++ objects of real NCCLs are
 * (3 in 2.14.3, 101 in 2.32.3). ncclCommDestroy and ncclCommCount say whether that has happened.
 */
#include "say.h"

#include <stdlib.h>

#define OWN_ncclCommDestroy 1
#define OWN_ncclCommCount 1
#define OWN_ncclGetVersion 1
#include "stub_nccl.h"

int ncclCommDestroy(const char *who);
int ncclCommCount(const char *who);
int ncclGetVersion(int *version);

static int dead;

static void die(void) {
    dead = 1;
}

__attribute__((constructor)) static void start(void) {
    atexit(die);
}

int ncclGetVersion(int *version) {
    *version = 22809;
    return 0;
}

int ncclCommDestroy(const char *who) {
    say("%s destroys: NCCL is %s\n", who, dead ? "dead" : "alive");
    return 0;
}

int ncclCommCount(const char *who) {
    say("%s asks: NCCL is %s\n", who, dead ? "dead" : "alive");
    return 0;
}
