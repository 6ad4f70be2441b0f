/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a stream being captured into a CUDA graph? The driver is asked, which is legal inside and outside of captures and
 * costs some 20 ns; only while calls are recorded. A process without the driver gets "unknown".
 */
#include "recorder.h"
#include "old_glibc.h"

typedef int is_capturing(ncr_stream stream, int *status);

_Atomic(void *) ncr_record_question;

/** Looks for the driver, if it has not been found; it is never loaded by this. */
void ncr_record_find_driver(void) {
    if (atomic_load(&ncr_record_question))
        return;
    void *driver = ncr_real_dlopen()("libcuda.so.1", RTLD_NOLOAD | RTLD_LAZY);
    if (driver)
        atomic_store(&ncr_record_question, dlsym(driver, "cuStreamIsCapturing"));
    else
        dlerror(); /* the message is ours, not the program's */
}

/** What the driver says of a stream, as flags. */
uint8_t ncr_record_ask_driver(ncr_stream stream) {
    is_capturing *ask = NCR_FUNCTION(is_capturing, atomic_load_explicit(&ncr_record_question, memory_order_relaxed));
    int status = 0;
    if (ask(stream, &status) != 0)
        return TRACE_CAPTURE_UNKNOWN;
    return status ? TRACE_CAPTURED : 0;
}
