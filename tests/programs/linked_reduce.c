/* SPDX-License-Identifier: Apache-2.0 */
/* Linked with NCCL: one rank reduces and broadcasts three times over host memory. Prints each code, and the sum. */
#include "../support/nccl_id.h"

#include <stdio.h>
#include <string.h>

int ncclGetUniqueId(ncclUniqueId *id);
int ncclCommInitRank(void **comm, int count, ncclUniqueId id, int rank);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);
int ncclBcast(void *buffer, size_t count, int type, int root, void *comm, void *stream);
int ncclCommDestroy(void *comm);

int main(void) {
    void *comm = NULL;
    ncclUniqueId id;
    int from[2] = {20, 22}, to[2] = {0, 0}, wrong = 0;
    int code = ncclGetUniqueId(&id);
    printf("id=%d", code);
    code = ncclCommInitRank(&comm, 1, id, 0);
    printf(" init=%d", code);
    if (code != 0) {
        printf("\n");
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        wrong += ncclAllReduce(from, to, 2, 2 /* int32 */, 0 /* sum */, comm, NULL) != 0;
        wrong += ncclBcast(to, 2, 2, 0, comm, NULL) != 0;
    }
    printf(" wrong=%d sum=%d destroy=%d\n", wrong, to[0] + to[1], ncclCommDestroy(comm));
    return 0;
}
