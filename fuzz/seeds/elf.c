/*
 * Small ELF files as seeds: a library with NCCL's functions, one with a fault, a program that calls them. Compiled by
 * fuzz/make-seeds with one of these macros: RCCL, NO_VERSION, LACKS_ONE, SHIM, USER_OF_IT, PLUGIN.
 */
#include "abi/functions.h"

#ifdef NO_VERSION
#define TEXT "nothing"
#elif defined(RCCL)
#define TEXT "RCCL version : 2.22.3+hip6.4"
#elif defined(VERSION)
#define TEXT "NCCL version " VERSION
#else
#define TEXT "NCCL version 2.28.9+cuda13.0"
#endif

extern const char text[];
const char text[] = TEXT;

#ifdef USER_OF_IT
int ncclAllReduce(const void *, void *);
int ncclCommSplit(const void *, void *);
extern const char *const opened[];
const char *const opened[] = {"libnccl.so.2", "ncclGetVersion", "ncclNetPlugin_v8"};
int use(void);
int use(void) {
    return ncclAllReduce(0, 0) + ncclCommSplit(0, 0);
}
#else
#ifdef LACKS_ONE
#define ncclBcast ncclBcast_
#endif
#ifdef SHIM
int nccl_redirect_version(void);
int nccl_redirect_version(void) {
    return 1;
}
#endif
#ifdef PLUGIN
extern const int ncclNetPlugin_v8;
const int ncclNetPlugin_v8 = 8;
#endif

#define XX(name, since, ...)                                                                                           \
    int name(void) __attribute__((weak));                                                                              \
    int name(void) {                                                                                                   \
        return since;                                                                                                  \
    }
#include "abi/nccl_api.def"
#endif

void start(void);
void start(void) {
    for (;;)
        ;
}
