/* SPDX-License-Identifier: Apache-2.0 */
/* A wrapper that is linked with libnccl.so.2 and calls the next definition: alone that is the real one's. */
#define OWN_ncclGetVersion 1
#define OWN_pncclGetVersion 1
#include "stub_nccl.h"

#include <dlfcn.h>

int ncclGetVersion(int *version);
int pncclGetVersion(int *version);

int ncclGetVersion(int *version) {
    return pncclGetVersion(version);
}
