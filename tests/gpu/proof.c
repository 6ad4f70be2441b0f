/* SPDX-License-Identifier: Apache-2.0 */
#include "proof.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_nccl(const char *path) {
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    return (strncmp(base, "libnccl", 7) == 0 || strncmp(base, "librccl", 7) == 0) && !strstr(base, "_redirect") &&
           base[7] != '-';
}

const char *proof_maps(void) {
    static char found[8192];
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    *found = '\0';
    while (maps && fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/');
        if (!path)
            continue;
        path[strcspn(path, "\n")] = '\0';
        if (!is_nccl(path) || strstr(found, path) || strlen(found) + strlen(path) + 2 > sizeof found)
            continue;
        if (*found)
            strcat(found, ",");
        strcat(found, path);
    }
    if (maps)
        fclose(maps);
    return *found ? found : "none";
}

/* Up to 2.8 the code was major * 1000 + minor * 100 + patch. */
static void print_version(int code) {
    int thousand = code < 10000 ? 1000 : 10000;
    printf("version=%d.%d.%d", code / thousand, code % thousand / 100, code % 100);
}

void proof(int version_code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    printf("proof: ");
    print_version(version_code);
    printf(" maps=%s ", proof_maps());
    vprintf(format, list);
    printf("\n");
    fflush(stdout);
    va_end(list);
}
