/* SPDX-License-Identifier: Apache-2.0 */
/* Linked with NCCL: prints which NCCLs are mapped before and after its first call. */
#include "maps.h"

int ncclGetVersion(int *version);

int main(void) {
    int version = -1, code;
    print_mapped("main");
    code = ncclGetVersion(&version);
    printf("code=%d version=%d\n", code, version);
    print_mapped("end");
    return code;
}
