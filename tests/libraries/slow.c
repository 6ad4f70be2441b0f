/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend whose constructor takes SLOW_MS milliseconds (default 300). SLOW_FORKS: it forks there, and the child calls
 * a function of NCCL; how that went is in the version: 23007 is good.
 */
#define OWN_ncclGetVersion 1
#define OWN_ncclGetErrorString 1
#define OWN_ncclGetLastError 1
#include "stub_nccl.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int ncclGetVersion(int *version);
const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *comm);

static int answer = 22999; /* until the constructor is through */

int ncclGetVersion(int *version) {
    *version = answer;
    return 0;
}

const char *ncclGetErrorString(int code) {
    (void)code;
    return answer == 23007 ? "slow" : "too early";
}

const char *ncclGetLastError(void *comm) {
    (void)comm;
    return "";
}

static int good_in_a_child(void) {
    int status = -1, version = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(5);
        _exit(ncclGetVersion(&version) == 0 && version == 22999 ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

__attribute__((constructor)) static void start(void) {
    const char *ms = getenv("SLOW_MS");
    usleep(1000u * (ms ? (unsigned)atoi(ms) : 300));
    answer = getenv("SLOW_FORKS") && !good_in_a_child() ? 22998 : 23007;
}
