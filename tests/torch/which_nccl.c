/* SPDX-License-Identifier: Apache-2.0 */
/* A C program linked with -lnccl that only asks: version and unique id, and the process map. */
#include "nccl_names.h"
#include "proof.h"

#include <string.h>

int main(void) {
    int version = 0;
    ncclUniqueId id = {{0}}, zero = {{0}};
    NCCL(ncclGetVersion(&version));
    NCCL(ncclGetUniqueId(&id));
    int filled = memcmp(&id, &zero, sizeof id) != 0;
    proof(version, "result=%s", filled ? "right" : "wrong");
    return !filled;
}
