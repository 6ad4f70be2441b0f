/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a function answers that the backend does not implement: one weak hostmem_ncclX per row of the ABI table. Where a
 * file of the backend defines the same name, the linker takes that one, so that nothing lists what is implemented.
 *
 * They take no arguments, whatever the caller passes: reached only by a jump from exports.S, they just leave the
 * argument registers alone. This file must therefore not see the prototypes of backend.h.
 */
#include "hostmem.h"

ncclResult_t fail(ncclResult_t result, const char *format, ...);

static ncclResult_t not_implemented(const char *name) {
    return fail(ncclInvalidUsage, "%s is not implemented over host memory", name);
}

#define TYPE_CODE ncclResult_t
#define TYPE_TEXT const char *
#define TYPE_NONE void
#define TYPE_NUMBER int
#define TYPE_TEAM ncclTeam_t

#define ANSWER_CODE return code
#define ANSWER_TEXT return code ? "not implemented over host memory" : ""
#define ANSWER_NONE (void)code
#define ANSWER_NUMBER return (void)code, 0
#define ANSWER_TEAM                                                                                                    \
    return (void)code, (ncclTeam_t) {                                                                                  \
        0, 0, 0                                                                                                        \
    }

#define XX(name, since, result, route, makes)                                                                          \
    TYPE_##result hostmem_##name(void);                                                                                \
    __attribute__((weak)) TYPE_##result hostmem_##name(void) {                                                         \
        ncclResult_t code = not_implemented(#name);                                                                    \
        ANSWER_##result;                                                                                               \
    }
#include "../../abi/nccl_api.def"
