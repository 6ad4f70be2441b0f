/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls functions that the backend lacks or that are called wrongly, each in a group of its own.
 *
 * usage: adapt_refused PATH NAME...   prints "NAME code C end E: text of ncclGetLastError"
 *
 * Every argument is 0 or NULL, so that no GPU is needed.
 */
#include "adapt_newest.h"

typedef int any(long, long, long, long, long, long, long, long, long, long, long, long);

int main(int argc, char **argv) {
    if (argc < 3 || !(newest_library = dlopen(argv[1], RTLD_NOW)))
        return 2;
    nccl.GroupStart = (ncclResult_t(*)(void))dlsym(newest_library, "ncclGroupStart");
    nccl.GroupEnd = (ncclResult_t(*)(void))dlsym(newest_library, "ncclGroupEnd");
    nccl.GetLastError = (const char *(*)(ncclComm_t))dlsym(newest_library, "ncclGetLastError");
    for (int i = 2; i < argc; i++) {
        any *function = (any *)dlsym(newest_library, argv[i]);
        if (!function) {
            printf("%s is missing\n", argv[i]);
            continue;
        }
        int start = nccl.GroupStart(), code = function(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        const char *text = nccl.GetLastError ? nccl.GetLastError(NULL) : "";
        int end = nccl.GroupEnd();
        printf("%s start %d code %d end %d: %s\n", argv[i], start, code, end, text);
        fflush(stdout);
    }
    return 0;
}
