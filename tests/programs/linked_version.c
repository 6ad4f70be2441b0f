/* SPDX-License-Identifier: Apache-2.0 */
/* An unmodified NCCL program, linked with -lnccl: prints the version and file-independent answers of its NCCL. */
#include "../support/nccl_id.h"

#include <stdio.h>
#include <string.h>

int ncclGetVersion(int *version);
int ncclGetUniqueId(ncclUniqueId *id);
const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *communicator);

int main(void) {
    int version = -1;
    ncclUniqueId id, zero;
    memset(&id, 0, sizeof id);
    memset(&zero, 0, sizeof zero);
    int code = ncclGetVersion(&version);
    int id_code = ncclGetUniqueId(&id);
    printf("version=%d code=%d id=%d filled=%d success=\"%s\" last=\"%s\"\n", version, code, id_code,
           memcmp(&id, &zero, sizeof id) != 0, ncclGetErrorString(0), ncclGetLastError(NULL));
    return code;
}
