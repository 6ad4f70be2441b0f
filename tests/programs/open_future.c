/* Not linked with NCCL: opens a library that needs a function which the shim does not know, and asks it. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    int (*future)(void) = NULL;
    void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!handle)
        return printf("%s\n", dlerror()) > 0;
    *(void **)&future = dlsym(handle, "future");
    printf("answer=%d\n", future());
    return 0;
}
