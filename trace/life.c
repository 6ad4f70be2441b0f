/* SPDX-License-Identifier: Apache-2.0 */
/* Is the process alive, and in which state? Read from /proc, if the trace is of this host. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/** Names the time since this machine was started; "" if the kernel does not say. */
const char *trace_boot_id(void) {
    static char id[64];
    if (!*id)
        ncr_proc_line("/proc/sys/kernel/random/boot_id", id, sizeof id);
    return id;
}

bool trace_is_of_this_host(const struct trace_file *file) {
    return *trace_boot_id() && strcmp(file->header.boot_id, trace_boot_id()) == 0;
}

static uint64_t own_pid_space(void) {
    struct stat status;
    return ncr_file_status("/proc/self/ns/pid", &status) ? (uint64_t)status.st_ino : 0;
}

/** The state of the process now; on another host, its state when the file was collected there. */
enum trace_life trace_life(const struct trace_file *file) {
    const struct trace_header *header = &file->header;
    char state;
    uint64_t started;
    if (header->observed > TRACE_LIFE_UNKNOWN && header->observed <= TRACE_GONE)
        return header->observed;
    enum trace_life dead = header->ended ? TRACE_EXITED : TRACE_GONE;
    if (!trace_is_of_this_host(file) || (header->pid_space && header->pid_space != own_pid_space()))
        return header->ended ? TRACE_EXITED : TRACE_LIFE_UNKNOWN;
    if (!ncr_proc_stat(header->pid, &state, &started) || started != header->started)
        return dead;
    if (state == 'Z' || state == 'X')
        return dead;
    return state == 'T' || state == 't' ? TRACE_STOPPED : TRACE_RUNNING;
}

/** The rank in the whole job, by the variables that launchers set; -1 if none did. */
int trace_find_rank(const struct trace_file *file) {
    static const char *const names[] = {"RANK",          "OMPI_COMM_WORLD_RANK", "PMIX_RANK",          "PMI_RANK",
                                        "SLURM_PROCID",  "MV2_COMM_WORLD_RANK",  "JSM_NAMESPACE_RANK", "PALS_RANKID",
                                        "FLUX_TASK_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = trace_file_variable(file, names[i]);
        char *end;
        long rank = value ? strtol(value, &end, 10) : -1;
        if (value && end != value && !*end && rank >= 0 && rank < 1 << 24)
            return (int)rank;
    }
    return -1;
}
