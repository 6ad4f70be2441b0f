/* SPDX-License-Identifier: Apache-2.0 */
/* A framework that is linked with NCCL and destroys its communicators at the program's exit, as static objects and
 * destructor functions do. */
#include "say.h"

#include <stdlib.h>

int ncclCommDestroy(const char *who);
int ncclCommCount(const char *who);
int ncclGetVersion(int *version);
int framework_use(void);

static void destroy(void) {
    ncclCommCount("the framework's object");
    ncclCommDestroy("the framework's object");
}

__attribute__((destructor)) static void end(void) {
    int code = ncclCommDestroy("the framework's destructor");
    say("the framework's destructor: code %d\n", code);
}

__attribute__((constructor)) static void start(void) {
    atexit(destroy);
}

int framework_use(void) {
    int version = 0;
    ncclGetVersion(&version);
    return version;
}
