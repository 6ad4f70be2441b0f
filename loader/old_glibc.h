/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlsym and dlerror for a preload that one build must bring into every glibc since 2.17: include this in their place.
 * They moved from libdl into libc in glibc 2.34. To need libdl.so.2 would map one more file into every process of a
 * newer system; to need the new versions would kill every process of an older one. So dl.c looks where they are.
 */
#ifndef NCR_OLD_GLIBC_H
#define NCR_OLD_GLIBC_H

#include <dlfcn.h>

/* The oldest version of a symbol of the C library. */
#if defined(__x86_64__)
#define NCR_FIRST_GLIBC "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define NCR_FIRST_GLIBC "GLIBC_2.17"
#endif

void *ncr_dlsym(void *handle, const char *name);
char *ncr_dlerror(void);

#define dlsym ncr_dlsym
#define dlerror ncr_dlerror

#endif
