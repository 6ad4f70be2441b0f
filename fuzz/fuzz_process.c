/* What /proc says of a process that another user controls: status, stat, command line, environment, map, auxv. */
#include "cli/process_read.c"

#include "support/fuzz.h"

enum { PID = 999999999 }; /* beyond what the kernel allows: nothing is ever read of a real process */

/* worker.c keeps texts in memory that it shares with a child. */
const char *worker_text(const char *text) {
    return text ? strdup(text) : NULL;
}

int nccl_version_of(const char *path) {
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    int version = elf.refusal ? 0 : ncr_elf_nccl_version(&elf, NULL);
    ncr_elf_close(&elf);
    return version;
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
