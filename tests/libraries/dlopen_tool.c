/* SPDX-License-Identifier: Apache-2.0 */
/* An interposer of dlopen: counts what passes it, and tells at the end. */
#include "say.h"

#include <dlfcn.h>

static unsigned passed;

void *dlopen(const char *file, int mode) {
    void *(*next)(const char *, int);
    *(void **)&next = dlsym(RTLD_NEXT, "dlopen");
    passed++;
    return next(file, mode);
}

__attribute__((destructor)) static void tell(void) {
    say("dlopen tool: %s\n", passed ? "used" : "not used");
}
