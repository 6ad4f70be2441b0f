/*
 * The dl functions got new symbol versions in glibc 2.34, when they moved from libdl into libc. A preload bound to those
 * kills every process on an older system, so the oldest versions are asked for; libdl.so.2 stays among the needed
 * libraries, where older systems have them.
 */
#ifndef NCR_OLD_GLIBC_H
#define NCR_OLD_GLIBC_H

#include <dlfcn.h>

#if defined(__x86_64__)
#define NCR_FIRST_GLIBC "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define NCR_FIRST_GLIBC "GLIBC_2.17"
#endif

__asm__(".symver dlsym, dlsym@" NCR_FIRST_GLIBC);
__asm__(".symver dlerror, dlerror@" NCR_FIRST_GLIBC);

#endif
