/* The first line of a script that `run` is going to start. */
#include "cli/command.c"

#include "support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct command command = {.started_as = "/job/script"};
    memory_files_clear();
    memory_file_add("/job/script", data, size);
    arena_begin();
    clearenv(); /* of what an interpreter line with env sets */
    follow_scripts(&command);
    MUST(command.started_as && *command.started_as);
    arena_end();
    return 0;
}
