/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test backend: a shared library with the NCCL ABI that moves data in host memory, so that unmodified NCCL programs
 * can be tested on machines without a GPU. Results are right; speed is not the aim. It is chosen only by its path.
 *
 * How to use it
 *   Build all *.c and *.S here into one shared library, with the SONAME of the library that it stands in for:
 *     cc -std=gnu11 -fPIC -fvisibility=hidden -shared -Wl,-soname,libnccl.so.2 -Wl,-z,defs -pthread [-D…] *.c *.S
 *   Programs pass ordinary pointers (malloc) as buffers. The stream argument is ignored: an operation is complete when
 *   the call returns, or, inside a group, when the outermost ncclGroupEnd returns. Ranks may be threads, processes of one
 *   machine, or one thread that drives several communicators in a group.
 *
 * Knobs of the build
 *   HOSTMEM_VERSION=22809    the version that it plays, major * 10000 + minor * 100 + patch as in nccl_api.def: what
 *                            ncclGetVersion answers; functions, types and operators that came later are missing
 *   HOSTMEM_LACKS=name,name  functions left out, with their aliases: HOSTMEM_LACKS=ncclCommSplit
 *   HOSTMEM_NO_PNCCL         no pncclX aliases, as in NCCL before 2.16
 *   HOSTMEM_EXTRA            exports ncclHostmemFuture(int *), which nccl_api.def does not know
 *   HOSTMEM_RCCL             exports RCCL's own functions too; give the SONAME librccl.so.1
 *   HOSTMEM_FAIL_INIT        every creation of a communicator fails with ncclUnhandledCudaError
 *   HOSTMEM_SLOWER_US        every call, or group, that moves something takes so many microseconds longer
 *
 * Environment
 *   HOSTMEM_TIMEOUT_S        seconds without progress after which a call gives up with ncclSystemError (default 60,
 *                            fractions allowed); read when a communicator is created
 *   NCCL_DEBUG               VERSION, WARN, INFO, ABORT or TRACE: the first creation of a communicator prints the
 *                            version line on stdout. Nothing else is ever printed.
 *
 * This header declares the part of NCCL's ABI that the backend needs, so that it builds where no nccl.h is.
 */
#ifndef HOSTMEM_H
#define HOSTMEM_H

#ifndef HOSTMEM_VERSION
#define HOSTMEM_VERSION 22809
#endif

#ifndef __ASSEMBLER__
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ncclComm *ncclComm_t;
typedef struct ncclWindow *ncclWindow_t;
typedef void *hostmem_stream_t; /* cudaStream_t or hipStream_t, never looked at */

typedef enum {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclSystemError = 2,
    ncclInternalError = 3,
    ncclInvalidArgument = 4,
    ncclInvalidUsage = 5,
    ncclRemoteError = 6,
    ncclInProgress = 7
} ncclResult_t;

typedef enum {
    ncclInt8 = 0,
    ncclUint8 = 1,
    ncclInt32 = 2,
    ncclUint32 = 3,
    ncclInt64 = 4,
    ncclUint64 = 5,
    ncclFloat16 = 6,
    ncclFloat32 = 7,
    ncclFloat64 = 8,
    ncclBfloat16 = 9,
    ncclFloat8e4m3 = 10,
    ncclFloat8e5m2 = 11,
    ncclNumTypes = 12
} ncclDataType_t;

typedef enum {
    ncclSum = 0,
    ncclProd = 1,
    ncclMax = 2,
    ncclMin = 3,
    ncclAvg = 4,
    ncclNumOps = 5, /* the first operator of ncclRedOpCreatePreMulSum */
    ncclMaxRedOp = INT_MAX
} ncclRedOp_t;

typedef enum { ncclScalarDevice = 0, ncclScalarHostImmediate = 1 } ncclScalarResidence_t;

#define NCCL_UNIQUE_ID_BYTES 128
typedef struct {
    char internal[NCCL_UNIQUE_ID_BYTES];
} ncclUniqueId;

/*
 * The head of NCCL's versioned structs. A caller's struct may be longer or shorter than any version we know: its size
 * says.
 */
#define NCCL_API_MAGIC 0xcafebeefU
#define NCCL_CONFIG_UNDEF_INT INT_MIN
typedef struct {
    size_t size;
    unsigned int magic;
    unsigned int version;
    int blocking; /* the one field that means something over host memory; later fields are tuning */
} ncclConfig_t;

/* Of a collective's configuration (NCCL 2.31) only the head is read: all its fields are tuning. */
typedef struct {
    size_t size;
    unsigned int magic;
    unsigned int version;
} ncclCollConfig_t;

#define NCCL_SIM_INFO_MAGIC 0x74685283U
typedef struct {
    size_t size;
    unsigned int magic;
    unsigned int version;
    float estimatedTime;
} ncclSimInfo_t;

typedef struct {
    int nRanks, rank, stride;
} ncclTeam_t;

#endif
#endif
