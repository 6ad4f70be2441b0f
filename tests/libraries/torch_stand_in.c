/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libtorch_cuda.so where only its presence counts: a real shared library that has nothing of NCCL. */
int torch_stand_in(void);

int torch_stand_in(void) {
    return 1;
}
