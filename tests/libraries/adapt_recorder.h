/* SPDX-License-Identifier: Apache-2.0 */
/* What the recording backend of the tests of shim/adapt saw; got by ncclGetErrorString(4711). */
#ifndef ADAPT_RECORDER_H
#define ADAPT_RECORDER_H

#include <stddef.h>

struct recorded {
    const char *function;         /* of the last call, NULL: none since this was read */
    const void *config;           /* as it was passed */
    unsigned char bytes[256];     /* what it points to, as far as its size says */
    const void *from, *arguments; /* other pointers of the call */
    unsigned sends;               /* in all */
};

#endif
