/* SPDX-License-Identifier: Apache-2.0 */
#include "owned.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const letters[] = {"A", "B", "C", "D"}, *const names[] = {"22809", "23203", "21803", "22809d"};

const char *owned(const char *name) {
    static const char *folder;
    if (!folder)
        folder = fresh_folder();
    const char *path = text("%s/%s/libnccl.so.2", folder, name);
    if (access(path, F_OK) != 0)
        copy_file(library("owned"), path, -1);
    return path;
}

struct result owned_run(const char *const *more, const char *steps) {
    const char *environment[32], *command[64], *redirect = text("NCCL_REDIRECT=%s", owned(names[0]));
    unsigned variables = 0, words = 0;
    char *rest = strdup(steps), *word;
    for (const char *const *m = more; *m; m++) {
        environment[variables++] = *m;
        if (strncmp(*m, "NCCL_REDIRECT=", 14) == 0)
            redirect = NULL;
    }
    if (redirect)
        environment[variables++] = redirect;
    for (unsigned i = 0; i < 4; i++)
        environment[variables++] = text("%s=%s", letters[i], owned(names[i]));
    environment[variables] = NULL;
    command[words++] = program("linked_script");
    while ((word = strsep(&rest, " ")))
        if (*word)
            command[words++] = word;
    command[words] = NULL;
    return run(WITH_SHIM, environment, command);
}

/* In place of each path its letter. Returns a new text, with lines separated by "; ". */
static const char *in_short(const char *out) {
    char *result = strdup(out);
    for (unsigned i = 0; i < 4; i++) {
        const char *path = owned(names[i]);
        for (char *at; (at = strstr(result, path));) {
            at[0] = '$';
            at[1] = letters[i][0];
            memmove(at + 2, at + strlen(path), strlen(at + strlen(path)) + 1);
        }
    }
    const char *lines = "";
    for (char *line, *rest = result; (line = strsep(&rest, "\n"));)
        if (*line)
            lines = text("%s%s%s", lines, *lines ? "; " : "", line);
    return lines;
}

void assert_transcript_at(const char *const *more, const char *steps, const char *lines, const char *file, int line) {
    struct result result = owned_run(more, steps);
    const char *seen = in_short(result.out);
    if (strcmp(seen, lines) != 0 || result.status != 0) {
        print_message("steps  %s\nseen   %s\nwanted %s\nexit status %d\n--- stderr\n%s\n", steps, seen, lines,
                      result.status, result.err);
        _fail(file, line);
    }
    result_free(&result);
}
