/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes and the text of the last error. */
#include "backend.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One text for the process, as in NCCL, where a watchdog thread asks for the error of another. Guarded by the lock. */
static char last_error[1024];
static pthread_mutex_t last_error_lock = PTHREAD_MUTEX_INITIALIZER;

ncclResult_t fail(ncclResult_t result, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&last_error_lock);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    pthread_mutex_unlock(&last_error_lock);
    va_end(arguments);
    return result;
}

/* The communicator is ignored, as in NCCL. The text stays valid until the same thread asks again. */
const char *hostmem_ncclGetLastError(ncclComm_t comm) {
    static _Thread_local char copy[sizeof last_error];
    (void)comm;
    pthread_mutex_lock(&last_error_lock);
    memcpy(copy, last_error, sizeof copy);
    pthread_mutex_unlock(&last_error_lock);
    return copy;
}

const char *hostmem_ncclGetErrorString(ncclResult_t result) {
    static const char *const texts[] = {
        [ncclSuccess] = "no error",
        [ncclUnhandledCudaError] = "unhandled cuda error",
        [ncclSystemError] = "unhandled system error",
        [ncclInternalError] = "internal error",
        [ncclInvalidArgument] = "invalid argument",
        [ncclInvalidUsage] = "invalid usage",
        [ncclRemoteError] = "remote process exited or there was a network error",
        [ncclInProgress] = "NCCL operation in progress",
    };
    if ((unsigned)result >= sizeof texts / sizeof *texts)
        return "unknown result code";
    return texts[result];
}
