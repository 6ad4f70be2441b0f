/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a library while no descriptor is free, and again when some are. */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/resource.h>

static void try_to_open(const char *when, const char *file) {
    int version = -1, (*get_version)(int *) = NULL;
    void *handle = dlopen(file, RTLD_NOW);
    if (handle)
        *(void **)&get_version = dlsym(handle, "ncclGetVersion");
    if (get_version) {
        get_version(&version);
        printf("%s: version=%d\n", when, version);
    } else {
        printf("%s: dlopen fails\n", when);
    }
}

int main(int count, char **arguments) {
    struct rlimit all, none;
    if (count < 2 || getrlimit(RLIMIT_NOFILE, &all) != 0)
        return 2;
    none = all;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    try_to_open("first", arguments[1]);
    setrlimit(RLIMIT_NOFILE, &all);
    try_to_open("later", arguments[1]);
    return 0;
}
