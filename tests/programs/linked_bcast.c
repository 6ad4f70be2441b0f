/* SPDX-License-Identifier: Apache-2.0 */
/* Linked with NCCL: one ncclBcast without a communicator, which every NCCL rejects, by its ncclBroadcast. */
#include <stddef.h>
#include <stdio.h>

int ncclBcast(void *buffer, size_t count, int type, int root, void *comm, void *stream);

int main(void) {
    printf("code=%d\n", ncclBcast(NULL, 0, 0, 0, NULL, NULL));
    return 0;
}
