/* SPDX-License-Identifier: Apache-2.0 */
/* What the header of this process's file says: the process, its launcher's variables, its NCCL, the clocks. */
#include "recorder.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* ---- small facts ---- */

uint64_t ncr_record_nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The counter counts evenly, whatever the frequency and on every processor, if the kernel uses it for its own clock. */
static unsigned choose_clock(void) {
#if defined(__aarch64__)
    return TRACE_CLOCK_COUNTER;
#else
    char name[32];
    ncr_proc_read("/sys/devices/system/clocksource/clocksource0/current_clocksource", name, sizeof name);
    if (ncr_begins(name, "tsc") || ncr_begins(name, "kvm-clock") || ncr_begins(name, "hyperv_clocksource_tsc"))
        return TRACE_CLOCK_COUNTER;
    return TRACE_CLOCK_MONOTONIC;
#endif
}

static void read_instant(struct trace_instant *instant) {
    __atomic_store_n(&instant->sequence, 0, __ATOMIC_RELEASE);
    instant->ticks = ncr_record_ticks();
    instant->monotonic = ncr_record_nanoseconds(CLOCK_MONOTONIC);
    instant->real = ncr_record_nanoseconds(CLOCK_REALTIME);
    __atomic_store_n(&instant->sequence, 1, __ATOMIC_RELEASE);
}

/* ---- what the header says ---- */

static void add_variable(struct trace_header *header, size_t *at, const char *entry) {
    size_t length = strlen(entry) + 1;
    if (*at + length < sizeof header->environment) {
        memcpy(header->environment + *at, entry, length);
        *at += length;
    }
}

/*
 * Rank variables of launchers, and our own. Nothing else of the environment, which may hold secrets. In one text, because each
 * pointer to a name of its own would cost every process of the job a relocation.
 */
static void copy_environment(struct trace_header *header) {
    static const char names[] = "RANK=\0"
                                "LOCAL_RANK=\0"
                                "WORLD_SIZE=\0"
                                "LOCAL_WORLD_SIZE=\0"
                                "GROUP_RANK=\0"
                                "TORCHELASTIC_RUN_ID=\0"
                                "OMPI_COMM_WORLD_RANK=\0"
                                "OMPI_COMM_WORLD_SIZE=\0"
                                "OMPI_COMM_WORLD_LOCAL_RANK=\0"
                                "PMIX_RANK=\0"
                                "PMI_RANK=\0"
                                "PMI_SIZE=\0"
                                "MV2_COMM_WORLD_RANK=\0"
                                "SLURM_PROCID=\0"
                                "SLURM_NTASKS=\0"
                                "SLURM_LOCALID=\0"
                                "SLURM_JOB_ID=\0"
                                "SLURM_STEP_ID=\0"
                                "SLURM_NODEID=\0"
                                "JSM_NAMESPACE_RANK=\0"
                                "PALS_RANKID=\0"
                                "FLUX_TASK_RANK=\0"
                                "CUDA_VISIBLE_DEVICES=\0"
                                "NCCL_REDIRECT\0";
    const char *prefixes[32];
    struct ncr_variables variables;
    size_t count = 0, at = 0;
    for (const char *name = names; name < names + sizeof names - 1 && count < 31; name += strlen(name) + 1)
        prefixes[count++] = name;
    prefixes[count] = NULL;
    ncr_variables_read_some(&variables, prefixes); /* another thread may call setenv meanwhile */
    for (size_t i = 0; i < variables.count; i++)
        add_variable(header, &at, variables.list[i]);
    ncr_variables_free(&variables);
}

static void describe_process(struct trace_header *header) {
    struct utsname host;
    struct stat space;
    char state;
    if (uname(&host) == 0)
        memcpy(header->host, host.nodename, strnlen(host.nodename, sizeof host.nodename - 1));
    ncr_proc_line("/proc/sys/kernel/random/boot_id", header->boot_id, sizeof header->boot_id);
    memcpy(header->product, NCR_VERSION, sizeof NCR_VERSION);
    header->pid = getpid();
    header->parent = getppid();
    header->session = getsid(0);
    header->user = getuid();
    header->pid_space = ncr_file_status("/proc/self/ns/pid", &space) ? (uint64_t)space.st_ino : 0;
    ncr_proc_stat(0, &state, &header->started);
    header->ticks_per_second = (uint32_t)sysconf(_SC_CLK_TCK);
    ssize_t length = readlink("/proc/self/exe", header->program, sizeof header->program - 1);
    header->program[length > 0 ? length : 0] = '\0';
    ncr_proc_read("/proc/self/cmdline", header->command, sizeof header->command);
    copy_environment(header);
}

static void note_text(char *into, size_t size, const char *text) {
    size_t length = text ? strlen(text) : 0;
    if (length > 0)
        memcpy(into, text, length < size ? length : size - 1);
}

/** Writes down which NCCL this is, once. */
void ncr_record_note_library(unsigned index) {
    if (index >= TRACE_LIBRARIES || *ncr_recorder.libraries[index].path)
        return;
    struct trace_library *row = &ncr_recorder.libraries[index];
    struct ncr_library *library = ncr_library_at(index);
    row->version = library->backend.version;
    row->flags = library->backend.rccl;
    note_text(row->build_id, sizeof row->build_id, ncr_build_id(library));
    note_text(row->path, sizeof row->path, library->backend.path);
    if (ncr_recorder.header->library_count <= index)
        ncr_recorder.header->library_count = index + 1;
}

static void describe_nccl(struct trace_header *header) {
    ncr_record_note_library(0);
    header->active_version = ncr_recorder.libraries[0].version;
    note_text(header->active_path, sizeof header->active_path, ncr_recorder.libraries[0].path);
    note_text(header->active_build_id, sizeof header->active_build_id, ncr_recorder.libraries[0].build_id);
}

/** What the header says of the process and its NCCL, and by which clock the records are timed. */
void ncr_record_describe(struct trace_header *header) {
    ncr_recorder.clock = choose_clock();
    header->clock = ncr_recorder.clock;
    read_instant(&header->opened);
    header->latest = header->opened;
    describe_process(header);
    describe_nccl(header);
}

/** Renews the clock pair of the header when it is older than a second or so. */
void ncr_record_note_time(void) {
    uint64_t now = ncr_record_ticks(), second = ncr_recorder.clock == TRACE_CLOCK_MONOTONIC ? 1000000000u : 2000000000u;
    if (now - ncr_recording.pair_ticks < second)
        return;
    ncr_recording.pair_ticks = now;
    if (now - ncr_recorder.header->latest.ticks >= second)
        read_instant(&ncr_recorder.header->latest);
}
