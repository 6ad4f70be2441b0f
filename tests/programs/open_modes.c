/* SPDX-License-Identifier: Apache-2.0 */
/* What dlopen, dlclose and dlsym say of libnccl.so.2 in this process; each line is the same with the real one. */
#include <dlfcn.h>
#include <stdio.h>

static void *open_it(const char *how, const char *file, int mode) {
    void *handle = dlopen(file, mode);
    const char *error = dlerror();
    printf("%s: %s, %s\n", how, handle ? "handle" : "NULL", error ? "an error" : "no error");
    return handle;
}

int main(void) {
    static const char name[] = "libnccl.so.2";
    printf("an error is left: %d\n", dlopen("/nowhere/at/all.so", RTLD_NOW) == NULL);
    open_it("not loaded", name, RTLD_NOW | RTLD_NOLOAD);
    open_it("no mode", name, 0);
    open_it("program", NULL, RTLD_NOW);
    void *first = open_it("lazy", name, RTLD_LAZY), *second = open_it("now", name, RTLD_NOW);
    void *third = open_it("global", name, RTLD_NOW | RTLD_GLOBAL);
    void *loaded = open_it("loaded", name, RTLD_NOW | RTLD_NOLOAD);
    printf("one handle: %d\n", first == second && second == third && third == loaded);
    printf("found: %d\n", dlsym(first, "ncclAllReduce") != NULL);
    printf("global: %d\n", dlsym(first, "ncclAllReduce") == dlsym(RTLD_DEFAULT, "ncclAllReduce"));
    printf("closed: %d %d %d\n", dlclose(first), dlclose(second), dlclose(loaded));
    printf("still there: %d\n", dlsym(third, "ncclAllReduce") != NULL);
    printf("closed: %d\n", dlclose(third));
    first = open_it("again", name, RTLD_NOW);
    int (*get_version)(int *), version = -1;
    *(void **)&get_version = dlsym(first, "ncclGetVersion");
    printf("code: %d\n", get_version(&version));
    fprintf(stderr, "%d\n", version);
    return 0;
}
