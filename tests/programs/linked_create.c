/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked with NCCL: its version and error text, then the start of two communicators. With an argument, that file is
 * opened first in a namespace of its own (dlmopen).
 */
#include "maps.h"
#include "../support/nccl_id.h"

#include <dlfcn.h>

int ncclGetVersion(int *version);
int ncclGetUniqueId(ncclUniqueId *id);
int ncclCommInitRank(void **comm, int count, ncclUniqueId id, int rank);
const char *ncclGetErrorString(int code);

int main(int argc, char **argv) {
    void *comm = NULL;
    ncclUniqueId id;
    int version = -1;
    if (argc > 1 && !dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW | RTLD_LOCAL)) {
        printf("%s\n", dlerror());
        return 2;
    }
    int code = ncclGetVersion(&version);
    fprintf(stderr, "before\n");
    printf("version=%d,%d id=%d text=%s\n", code, version, ncclGetUniqueId(&id), ncclGetErrorString(0));
    ncclCommInitRank(&comm, 1, id, 0);
    fprintf(stderr, "between\n");
    ncclCommInitRank(&comm, 1, id, 0);
    return 0;
}
