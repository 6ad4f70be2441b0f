/* SPDX-License-Identifier: Apache-2.0 */
/* Linked, lazily bound, with an NCCL that is newer than the shim: calls a function that the shim does not know. */
#include <stdio.h>

int ncclGetVersion(int *version);
int ncclHostmemFuture(int *answer);

int main(void) {
    int version = -1, answer = -1;
    printf("version=%d\n", ncclGetVersion(&version));
    fflush(stdout);
    int code = ncclHostmemFuture(&answer);
    printf("code=%d answer=%d\n", code, answer);
    return 0;
}
