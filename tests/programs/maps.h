/* SPDX-License-Identifier: Apache-2.0 */
/* Which NCCLs does this process map? From /proc/self/maps, which no preload can colour. */
#ifndef MAPS_H
#define MAPS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints "LABEL: PATH" for each mapped file with an NCCL's name, "LABEL: none" if there is none. */
__attribute__((unused)) static void print_mapped(const char *label) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096 + 128], last[sizeof line] = "";
    while (fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/'), *base = path ? strrchr(path, '/') + 1 : NULL;
        if (!base || (strncmp(base, "libnccl.so", 10) != 0 && strncmp(base, "librccl.so", 10) != 0) ||
            strcmp(path, last) == 0)
            continue;
        strcpy(last, path);
        printf("%s: %s", label, path);
    }
    fclose(maps);
    if (!*last)
        printf("%s: none\n", label);
    fflush(stdout);
}

#endif
