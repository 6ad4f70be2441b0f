/* SPDX-License-Identifier: Apache-2.0 */
/* Linked with NCCL, bound at the first call: calls it while no descriptor is free, and again when some are. */
#include <stdio.h>
#include <sys/resource.h>

int ncclGetVersion(int *version);

int main(void) {
    struct rlimit all, none;
    int version = -1;
    if (getrlimit(RLIMIT_NOFILE, &all) != 0)
        return 2;
    none = all;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    printf("first: code=%d\n", ncclGetVersion(&version));
    setrlimit(RLIMIT_NOFILE, &all);
    if (ncclGetVersion(&version) == 0)
        printf("later: version=%d\n", version);
    return 0;
}
