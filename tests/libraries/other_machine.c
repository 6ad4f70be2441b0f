/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the machine of the tests look like another one, so that what the tool prints does not depend on where the tests
 * run: no NCCL of the system, no cache of the loader, no other processes, a known host, kernel and C library, and a
 * person who reads standard output on a terminal of 100 columns (but a program with FOR_PROGRAMS=1). Preloaded into the
 * tool.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool starts(const char *path, const char *start) {
    return strncmp(path, start, strlen(start)) == 0;
}

static bool hidden(const char *path) {
    static const char *const places[] = {"/usr/local/", "/opt/", "/usr/lib", "/lib"};
    if (strcmp(path, "/etc/ld.so.cache") == 0 || strcmp(path, "/dev/kfd") == 0 || starts(path, "/lib/ld-linux"))
        return true;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (starts(path, places[i]) && (strstr(path, "ccl") || strstr(path, "nvidia") || strstr(path, "torch")))
            return true;
    return false;
}

#define REAL(name, ...)                                                                                                \
    static __typeof__(name) *real;                                                                                     \
    if (!real)                                                                                                         \
        real = (__typeof__(name) *)(uintptr_t)dlsym(RTLD_NEXT, #name);                                                 \
    return real(__VA_ARGS__)

int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    if (hidden(path)) {
        errno = ENOENT;
        return -1;
    }
    REAL(open, path, flags, mode);
}

/* What open() with two arguments becomes where _FORTIFY_SOURCE is on. */
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) {
    return open(path, flags, 0);
}

int access(const char *path, int mode) {
    if (hidden(path)) {
        errno = ENOENT;
        return -1;
    }
    REAL(access, path, mode);
}

DIR *opendir(const char *path) {
    if (hidden(path) || strcmp(path, "/proc") == 0) {
        errno = ENOENT;
        return NULL;
    }
    REAL(opendir, path);
}

int isatty(int file) {
    return file == STDOUT_FILENO && !getenv("FOR_PROGRAMS");
}

int ioctl(int file, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (request == TIOCGWINSZ && file == STDOUT_FILENO) {
        *(struct winsize *)argument = (struct winsize){.ws_row = 25, .ws_col = 100};
        return 0;
    }
    REAL(ioctl, file, request, argument);
}

int uname(struct utsname *name) {
    strcpy(name->sysname, "Linux");
    strcpy(name->nodename, "node7");
    strcpy(name->release, "6.1.0");
    strcpy(name->machine, "x86_64");
    return 0;
}

const char *gnu_get_libc_version(void) {
    return "2.36";
}
