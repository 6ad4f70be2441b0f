/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of NCCL's version numbers. */
#include "abi/version.h"

#include <stdio.h>

/** ncclGetVersion's code as major * 10000 + minor * 100 + patch: up to 2.8 NCCL used major * 1000. Negative: 0, unknown. */
int ncr_version_from_nccl(int code) {
    if (code < 0)
        return 0;
    return code < 10000 ? code / 1000 * 10000 + code % 1000 : code;
}

/** 22105 -> "2.21.5"; at most 15 characters for any positive int. */
void ncr_version_text(int version, char text[16]) {
    snprintf(text, 16, "%d.%d.%d", version / 10000 % 1000, version / 100 % 100, version % 100);
}

/** Read "2", "2.21" or "2.21.5" at the start of `text`; `end` is the first character behind it. */
bool ncr_version_parse(const char *text, int *version, const char **end) {
    int part[3] = {0};
    for (int i = 0; i < 3; i++) {
        if (*text < '0' || *text > '9')
            return false;
        for (; *text >= '0' && *text <= '9'; text++) {
            part[i] = part[i] * 10 + (*text - '0');
            if (part[i] > 99)
                return false;
        }
        if (i == 2 || *text != '.' || text[1] < '0' || text[1] > '9')
            break;
        text++;
    }
    *version = part[0] * 10000 + part[1] * 100 + part[2];
    *end = text;
    return true;
}
