/* SPDX-License-Identifier: Apache-2.0 */
/* Linked with NCCL: prints its version, the text for 4711 (test backends tell what they saw) and the last error. */
#include <stdio.h>

int ncclGetVersion(int *version);
const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *communicator);

int main(void) {
    int version = -1, code = ncclGetVersion(&version);
    printf("code=%d version=%d said=\"%s\"\n", code, version, ncclGetErrorString(4711));
    printf("last error: %s\n", ncclGetLastError(NULL));
    return code;
}
