/* SPDX-License-Identifier: Apache-2.0 */
/* Opens libraries, calls framework_use() of the last one, and ends. The mode of opening is that of Python's imports. */
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **files) {
    int (*use)(void) = NULL;
    void *handle = NULL;
    for (int i = 1; i < count; i++)
        if (!(handle = dlopen(files[i], RTLD_NOW | RTLD_LOCAL)))
            return printf("%s\n", dlerror()) > 0;
    *(void **)&use = handle ? dlsym(handle, "framework_use") : NULL;
    return use ? use() != 22809 : 2;
}
