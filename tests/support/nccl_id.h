/* SPDX-License-Identifier: Apache-2.0 */
/* ncclUniqueId as nccl.h of every version has it, for programs that must compile where no nccl.h is. */
#ifndef NCCL_ID_H
#define NCCL_ID_H

typedef struct {
    char internal[128];
} ncclUniqueId;

#endif
