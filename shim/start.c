/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The constructor: runs in every process of the job, and does nothing where NCCL is not used. It also lists the layers;
 * no other place knows them all.
 */
#include "every_process.h"
#include "layer.h"

#include <errno.h>

/* Tells a copy of the shim under any name from an NCCL (loader/validate.c), and its version to `strings`. */
__attribute__((visibility("default"))) extern const char nccl_redirect_version[];
const char nccl_redirect_version[] = "nccl-redirect " NCR_VERSION;

extern const struct ncr_layer ncr_adapt_layer, ncr_ranks_layer, ncr_route_layer, ncr_trace_layer;

/* From the lowest, beside the library, to the highest, which the program calls. */
const struct ncr_layer *const ncr_layers[] = {&ncr_adapt_layer, &ncr_ranks_layer, &ncr_route_layer, &ncr_trace_layer,
                                              NULL};

NCR_EVERY_PROCESS __attribute__((constructor)) static void start(void) {
    int error = errno;
    ncr_log_start();
    bool needed = ncr_scope_note();
    ncr_environment_note_start();
    ncr_subject_note_start();
    enum ncr_bind when = ncr_config_bind();
    if (when == NCR_BIND_START || (when == NCR_BIND_AUTO && needed))
        ncr_bind_at_start();
    errno = error;
}
