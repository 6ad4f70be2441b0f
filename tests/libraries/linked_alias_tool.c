/* SPDX-License-Identifier: Apache-2.0 */
/* A tool that stacks by NCCL's profiling interface: linked with NCCL, defines ncclX and calls pncclX. */
#include "say.h"

#include <stddef.h>

int pncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);

static unsigned reduced;

int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream) {
    reduced++;
    return pncclAllReduce(from, to, count, type, op, comm, stream);
}

__attribute__((destructor)) static void tell(void) {
    say("alias tool: %u reductions\n", reduced);
}
