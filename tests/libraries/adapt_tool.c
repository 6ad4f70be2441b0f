/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tool that stands above the preload and counts some of NCCL's functions, as profilers do. Each count is told by
 * adapt_tool_count(NAME).
 */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define FUNCTIONS(XX)                                                                                                  \
    XX(ncclBcast)                                                                                                      \
    XX(ncclBroadcast)                                                                                                  \
    XX(ncclGroupStart)                                                                                                 \
    XX(ncclGroupEnd)                                                                                                   \
    XX(ncclResetDebugInit)                                                                                             \
    XX(ncclResetDebugInitInternal)

#define XX(name) COUNT_##name,
enum { FUNCTIONS(XX) COUNTS };
#undef XX

static unsigned counts[COUNTS];

unsigned adapt_tool_count(const char *name);
unsigned adapt_tool_count(const char *name) {
#define XX(function)                                                                                                   \
    if (strcmp(name, #function) == 0)                                                                                  \
        return counts[COUNT_##function];
    FUNCTIONS(XX)
#undef XX
    return 0;
}

/* All arguments of these are numbers or pointers, seven at most. */
typedef long any(long, long, long, long, long, long, long);

static any *next(const char *name) {
    any *function;
    void *address = dlsym(RTLD_NEXT, name);
    memcpy(&function, &address, sizeof address);
    return function;
}

#define XX(name)                                                                                                       \
    long name(long a, long b, long c, long d, long e, long f, long g);                                                 \
    long name(long a, long b, long c, long d, long e, long f, long g) {                                                \
        any *function = next(#name);                                                                                   \
        counts[COUNT_##name]++;                                                                                        \
        return function ? function(a, b, c, d, e, f, g) : 0;                                                           \
    }
FUNCTIONS(XX)
