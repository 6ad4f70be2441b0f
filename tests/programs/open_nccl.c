/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is not linked with NCCL and opens one, as ctypes, CuPy and JAX do: for each argument prints the
 * version that the handle answers, or dlerror's text. The status is 0 if the last one opened. Options: "+FILE" opens
 * without asking, "?FILE" looks whether the file is there, as a mark for a test that traces system calls.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static int ask(void *handle, const char *file) {
    union {
        void *symbol;
        int (*function)(int *);
    } get = {dlsym(handle, "ncclGetVersion")};
    int version = 0, code = get.symbol ? get.function(&version) : -1;
    printf("%s: version=%d code=%d\n", file, version, code);
    return code != 0;
}

int main(int count, char **files) {
    int status = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < count; i++) {
        if (files[i][0] == '?') {
            access(files[i] + 1, F_OK);
            continue;
        }
        const char *file = files[i] + (files[i][0] == '+');
        void *handle = dlopen(file, RTLD_NOW);
        status = handle == NULL;
        if (!handle)
            printf("%s: dlerror=%s\n", file, dlerror());
        else if (file == files[i])
            status = ask(handle, file);
    }
    return status;
}
