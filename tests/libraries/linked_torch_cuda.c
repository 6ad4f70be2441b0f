/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for a libtorch_cuda.so that is linked with libnccl.so.2: it needs functions of several ages, the newest of
 * NCCL 2.19.
 */
int ncclAllReduce(void), ncclCommInitRankConfig(void), ncclCommSplit(void), ncclCommRegister(void), ncclMemAlloc(void);

int torch_needs(int which);

int torch_needs(int which) {
    int (*const functions[])(void) = {ncclAllReduce, ncclCommInitRankConfig, ncclCommSplit, ncclCommRegister,
                                      ncclMemAlloc};
    return functions[which % 5]();
}
