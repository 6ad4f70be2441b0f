/* SPDX-License-Identifier: Apache-2.0 */
/* Runs inputs through a harness without libFuzzer: replay FILE|FOLDER... */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return 0;
}

static unsigned inputs;

static void replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    size_t size = 0, got;
    if (!file) {
        perror(path);
        exit(1);
    }
    do {
        uint8_t *more = realloc(bytes, size + 65536);
        if (!more)
            abort();
        bytes = more;
        got = fread(bytes + size, 1, 65536, file);
        size += got;
    } while (got);
    fclose(file);
    /* a block of exactly that size, so that the address sanitizer sees a byte too many */
    uint8_t *exact = malloc(size); /* NOLINT(clang-analyzer-optin.portability.UnixAPI): of no byte, too */
    if (size)
        memcpy(exact, bytes, size);
    free(bytes);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    inputs++;
}

static void replay(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) {
        replay_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        fprintf(stderr, "%s\n", name);
        replay_file(name);
    }
    closedir(folder);
}

int main(int argc, char **argv) {
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    fprintf(stderr, "%u inputs, nothing wrong\n", inputs);
    return inputs ? 0 : 1;
}
