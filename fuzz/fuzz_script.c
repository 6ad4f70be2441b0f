/* SPDX-License-Identifier: Apache-2.0 */
/* The first line and the text of a script that `run` is going to start. */
#include "cli/command.c"

#include "support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct command command = {0};
    char *words[] = {"/job/script", "argument", NULL};
    memory_files_clear();
    memory_file_add("/job/script", data, size);
    arena_begin();
    clearenv(); /* of what an interpreter line with env sets */
    command_resolve(&command, words);
    MUST(command.file || command.problem);
    arena_end();
    return 0;
}
