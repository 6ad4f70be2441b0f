/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlsym and dlerror of the C library, by weak references of the oldest version: glibc 2.34 and newer resolve them in
 * libc; an older one in libdl, if the program has it. If not, libc's own way to load a library (__libc_dlopen_mode,
 * which exists in just those versions) brings libdl in, at the first call.
 */
#include "old_glibc.h"

#include <stdatomic.h>
#include <stddef.h>

#undef dlsym
#undef dlerror

#pragma weak dlsym
#pragma weak dlerror
#if __GLIBC_PREREQ(2, 34) /* elsewhere libc has no versions of them to choose from */
__asm__(".symver dlsym, dlsym@" NCR_FIRST_GLIBC);
__asm__(".symver dlerror, dlerror@" NCR_FIRST_GLIBC);
#endif

__attribute__((weak)) void *__libc_dlopen_mode(const char *file, int mode);
__attribute__((weak)) void *__libc_dlsym(void *handle, const char *name);

/* What glibc's own callers add to the mode; without it the call is refused. */
#define RTLD_BY_LIBC 0x80000000

/* A function of an older system's libdl.so.2, or NULL. */
static void *in_libdl(const char *name) {
    static _Atomic(void *) libdl; /* every thread gets the same handle; it is never closed */
    void *handle = atomic_load(&libdl);
    if (!handle && __libc_dlopen_mode && __libc_dlsym) {
        handle = __libc_dlopen_mode("libdl.so.2", (int)(RTLD_NOW | RTLD_BY_LIBC));
        atomic_store(&libdl, handle);
    }
    return handle && __libc_dlsym ? __libc_dlsym(handle, name) : NULL;
}

/** dlsym, always called from this library: RTLD_NEXT is what comes after it. */
void *ncr_dlsym(void *handle, const char *name) {
    union {
        void *symbol;
        void *(*function)(void *, const char *);
    } real = {.function = dlsym};
    if (!real.function)
        real.symbol = in_libdl("dlsym");
    void *address = real.function ? real.function(handle, name) : NULL;
    /* A libdl that came later, privately for some library, is not among the next ones. */
    return address || handle != RTLD_NEXT ? address : in_libdl(name);
}

/** dlerror; NULL also if there is no error, or no dlerror. */
char *ncr_dlerror(void) {
    union {
        void *symbol;
        char *(*function)(void);
    } real = {.function = dlerror};
    if (!real.function)
        real.symbol = in_libdl("dlerror");
    return real.function ? real.function() : NULL;
}
