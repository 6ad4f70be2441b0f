/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for a program with libnccl_static.a linked into it: it has NCCL's functions and its version text inside. */
#include <stdio.h>

int ncclGetVersion(int *version), ncclAllReduce(void);

__attribute__((used)) static const char banner[] = "NCCL version 2.21.5+cuda12.4";

__attribute__((visibility("hidden"))) int ncclGetVersion(int *version) {
    *version = 22105;
    return 0;
}

__attribute__((visibility("hidden"))) int ncclAllReduce(void) {
    return 0;
}

int main(void) {
    int version;
    return ncclGetVersion(&version) || printf("all_reduce_perf: %s\n", banner + 5) < 0 || ncclAllReduce();
}
