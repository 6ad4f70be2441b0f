/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collectives with a configuration per call (2.31) on an older backend: without a configuration, or with one whose
 * fields are all unset, they are the plain collectives by NCCL's own definition. Anything else is refused.
 */
#include "adapt.h"

#include <string.h>

/* The fields of ncclCollConfig_t behind size, magic and version (nccl.h of 2.32.3), with their unset values. */
static const struct {
    unsigned offset, size;
    int64_t unset;
} fields[] = {
    {16, 8, 0},             /* ext */
    {24, 4, NCR_UNDEFINED}, /* minCTAs */
    {28, 4, NCR_UNDEFINED}, /* maxCTAs */
    {32, 4, NCR_UNDEFINED}, /* nvlsCTAs */
    {36, 4, NCR_UNDEFINED}, /* cgaClusterSize */
    {40, 8, 0},             /* algSelection; forceAlgSelection at 48 means nothing without it */
    {52, 4, NCR_UNDEFINED}, /* CTAPolicy */
    {64, 8, 0},             /* launchCompletionEvent; userProfilerTag at 56 does not affect execution */
};

enum { KNOWN_SIZE = 72 };

static int check(struct ncr_library *library, const char *function, const void *config) {
    struct ncr_versioned head;
    if (!config)
        return NCR_SUCCESS;
    memcpy(&head, config, sizeof head);
    if (head.magic != NCR_MAGIC)
        return ncr_invalid(library, "the configuration of the collective was not initialised with "
                                    "NCCL_COLLCONFIG_INITIALIZER");
    /* A struct larger than the known one may have a field that is set, so it is refused. */
    bool unset = head.size <= KNOWN_SIZE;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int64_t wide = 0;
        int32_t narrow = 0;
        if (fields[i].offset + fields[i].size > head.size)
            continue;
        if (fields[i].size == 8)
            memcpy(&wide, (const char *)config + fields[i].offset, 8);
        else
            memcpy(&narrow, (const char *)config + fields[i].offset, 4);
        unset &= (fields[i].size == 8 ? wide : narrow) == fields[i].unset;
    }
    return unset ? NCR_SUCCESS
                 : ncr_refuse_lacking(library, function, " with a configuration that is not the default", 23102);
}

#define WITHOUT_CONFIG(adapter, plain, parameters, arguments)                                                          \
    int adapter parameters {                                                                                           \
        struct ncr_library *library = ncr_called_library();                                                            \
        int code = check(library, #plain "Config", config);                                                            \
        return code ? code : NCR_ENTRY(library, plain) arguments;                                                      \
    }

WITHOUT_CONFIG(ncr_all_reduce_config, ncclAllReduce,
               (const void *from, void *to, size_t count, int type, int op, ncr_comm comm, ncr_stream stream,
                const void *config),
               (from, to, count, type, op, comm, stream))
WITHOUT_CONFIG(ncr_reduce_scatter_config, ncclReduceScatter,
               (const void *from, void *to, size_t count, int type, int op, ncr_comm comm, ncr_stream stream,
                const void *config),
               (from, to, count, type, op, comm, stream))
WITHOUT_CONFIG(ncr_reduce_config, ncclReduce,
               (const void *from, void *to, size_t count, int type, int op, int root, ncr_comm comm, ncr_stream stream,
                const void *config),
               (from, to, count, type, op, root, comm, stream))
WITHOUT_CONFIG(ncr_broadcast_config, ncclBroadcast,
               (const void *from, void *to, size_t count, int type, int root, ncr_comm comm, ncr_stream stream,
                const void *config),
               (from, to, count, type, root, comm, stream))
WITHOUT_CONFIG(ncr_all_gather_config, ncclAllGather,
               (const void *from, void *to, size_t count, int type, ncr_comm comm, ncr_stream stream,
                const void *config),
               (from, to, count, type, comm, stream))
WITHOUT_CONFIG(ncr_all_to_all_config, ncclAlltoAll,
               (const void *from, void *to, size_t count, int type, ncr_comm comm, ncr_stream stream,
                const void *config),
               (from, to, count, type, comm, stream))
WITHOUT_CONFIG(ncr_gather_config, ncclGather,
               (const void *from, void *to, size_t count, int type, int root, ncr_comm comm, ncr_stream stream,
                const void *config),
               (from, to, count, type, root, comm, stream))
WITHOUT_CONFIG(ncr_scatter_config, ncclScatter,
               (const void *from, void *to, size_t count, int type, int root, ncr_comm comm, ncr_stream stream,
                const void *config),
               (from, to, count, type, root, comm, stream))
