/* SPDX-License-Identifier: Apache-2.0 */
/* A library that is linked with NCCL and makes communicators, as frameworks do. */
#include "../support/nccl_id.h"

#include <stdio.h>

int ncclGetVersion(int *version);
int ncclGetUniqueId(ncclUniqueId *id);
int ncclCommInitRank(void **comm, int ranks, ncclUniqueId id, int rank);

int maker_make(void **comm);

int maker_make(void **comm) {
    ncclUniqueId id;
    int version = -1, code = ncclGetVersion(&version);
    if (!code)
        code = ncclGetUniqueId(&id);
    if (!code)
        code = ncclCommInitRank(comm, 1, id, 0);
    printf("maker version=%d\n", version);
    return code;
}
