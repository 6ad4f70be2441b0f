/* SPDX-License-Identifier: Apache-2.0 */
/* A library that needs a function of an NCCL that the shim does not know; undefined here, as its NCCL brings it. */
int ncclHostmemFuture(int *answer);
int future(void);

int future(void) {
    int answer = -1;
    return ncclHostmemFuture(&answer) == 0 ? answer : -2;
}
