/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A script that `run` is going to start: its first line, and what its text starts; the command line that starts it; and a
 * second script, which the first one may start.
 */
#include "cli/command.c"

#include "support/fuzz.h"

enum { MOST_WORDS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct command command = {0};
    struct parts parts;
    char *words[MOST_WORDS + 2] = {"/job/script", "argument"}, *rest;
    parts_read(&parts, data, size);
    memory_files_clear();
    memory_file_add("/job/script", parts.text[0], parts.size[0]);
    if (parts.count > 1)
        memory_file_add("/job/other", parts.text[1], parts.size[1]);
    memory_file_add("/bin/*", "", 0);
    memory_file_add("/usr/bin/*", "", 0);
    rest = parts.count > 2 ? parts.text[2] : NULL;
    for (unsigned i = 0; i < MOST_WORDS && (words[i] = part_line(&rest));)
        i++;
    if (!words[0])
        words[0] = "/job/script";
    arena_begin();
    clearenv(); /* of what an interpreter line with env sets */
    steps = 0;
    command_resolve(&command, words);
    MUST(command.file || command.problem);
    arena_end();
    parts_free(&parts);
    return 0;
}
