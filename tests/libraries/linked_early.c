/* SPDX-License-Identifier: Apache-2.0 */
/* A library that is linked with NCCL and calls it in its constructor. */
#include "say.h"

int ncclGetVersion(int *version);

__attribute__((constructor)) static void early(void) {
    int version = -1, code = ncclGetVersion(&version);
    say("linked constructor: code=%d version=%d\n", code, version);
}
