/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of a process that another user controls: status, stat, command line, environment, map, auxv. */
#include "cli/process_read.c"
#include "cli/worker.c"

#include "support/fuzz.h"

enum { PID = 999999999 }; /* beyond what the kernel allows: nothing is ever read of a real process */

/* Texts are kept in memory that a child would share; here it is used again for each input. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    shared = worker_memory(sizeof *shared);
    return shared ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"/proc/999999999/cmdline",
                                        "/proc/999999999/maps",
                                        "/proc/999999999/environ",
                                        "/proc/999999999/status",
                                        "/proc/999999999/stat",
                                        "/proc/999999999/auxv",
                                        "/proc/uptime",
                                        "/proc/999999999/map_files/*",
                                        "/proc/999999999/exe"};
    struct parts parts;
    struct process process;
    parts_read(&parts, data, size);
    memory_files_clear();
    for (unsigned i = 0; i < parts.count && i < sizeof names / sizeof *names; i++)
        memory_file_add(names[i], parts.text[i], parts.size[i]);
    shared->used = 0;
    arena_begin();
    process_read(&process, PID);
    MUST(process.nccl_count <= MOST_MAPPED);
    for (unsigned i = 0; i < process.nccl_count; i++)
        MUST(process.nccls[i].path && *process.nccls[i].path == '/');
    MUST(!process.shim || *process.shim == '/');
    arena_end();
    parts_free(&parts);
    return 0;
}
