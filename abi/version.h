/* SPDX-License-Identifier: Apache-2.0 */
/* Version numbers: major * 10000 + minor * 100 + patch, as in abi/nccl_api.def. */
#ifndef NCR_ABI_VERSION_H
#define NCR_ABI_VERSION_H

#include <stdbool.h>

int ncr_version_from_nccl(int code);
void ncr_version_text(int version, char text[16]);
bool ncr_version_parse(const char *text, int *version, const char **end);

#endif
