/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of this process: made at its first call that is recorded, never in a process that makes none. All its blocks
 * are allocated before it is mapped, because a mapping of a file that a full file system cannot back ends the program by
 * SIGBUS, at some later call. What cannot be done is one line in the log, and calls go on unrecorded.
 */
#include "recorder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/*
 * What the rest of the library does not use is called by its number: every name of libc costs each process of the job a
 * look-up at its start, since all are resolved there (full RELRO).
 */
static long call(long number, long a, long b, long c, long d) {
    return syscall(number, a, b, c, d);
}

struct ncr_recorder ncr_recorder;

/* Under the mutex: no second try, and no second line, of one process. */
static bool given_up;

/* ---- small facts ---- */

static unsigned own_user(void) {
    return (unsigned)call(SYS_getuid, 0, 0, 0, 0);
}

static void read_text(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, text, size - 1);
    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
}

/* Since boot, as in /proc: with the process id it identifies the process for good. */
static uint64_t start_time(void) {
    char text[1024];
    read_text("/proc/self/stat", text, sizeof text);
    char *at = strrchr(text, ')');
    for (int field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoul(at, NULL, 10) : 0;
}

static uint64_t nanoseconds(clockid_t clock) {
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
    read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource", name, sizeof name);
    if (ncr_begins(name, "tsc") || ncr_begins(name, "kvm-clock") || ncr_begins(name, "hyperv_clocksource_tsc"))
        return TRACE_CLOCK_COUNTER;
    return TRACE_CLOCK_MONOTONIC;
#endif
}

static void read_instant(struct trace_instant *instant) {
    __atomic_store_n(&instant->sequence, 0, __ATOMIC_RELEASE);
    instant->ticks = ncr_record_ticks();
    instant->monotonic = nanoseconds(CLOCK_MONOTONIC);
    instant->real = nanoseconds(CLOCK_REALTIME);
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
    if (uname(&host) == 0)
        memcpy(header->host, host.nodename, strnlen(host.nodename, sizeof host.nodename - 1));
    read_text("/proc/sys/kernel/random/boot_id", header->boot_id, sizeof header->boot_id);
    header->boot_id[strcspn(header->boot_id, "\n")] = '\0';
    memcpy(header->product, NCR_VERSION, sizeof NCR_VERSION);
    header->pid = getpid();
    header->parent = (int32_t)call(SYS_getppid, 0, 0, 0, 0);
    header->session = (int32_t)call(SYS_getsid, 0, 0, 0, 0);
    header->user = own_user();
    header->pid_space = ncr_file_status("/proc/self/ns/pid", &space) ? (uint64_t)space.st_ino : 0;
    header->started = start_time();
    header->ticks_per_second = (uint32_t)sysconf(_SC_CLK_TCK);
    ssize_t length = readlink("/proc/self/exe", header->program, sizeof header->program - 1);
    header->program[length > 0 ? length : 0] = '\0';
    read_text("/proc/self/cmdline", header->command, sizeof header->command);
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

/** Renews the clock pair of the header when it is older than a second or so. */
void ncr_record_note_time(void) {
    uint64_t now = ncr_record_ticks(), second = ncr_recorder.clock == TRACE_CLOCK_MONOTONIC ? 1000000000u : 2000000000u;
    if (now - ncr_recording.pair_ticks < second)
        return;
    ncr_recording.pair_ticks = now;
    if (now - ncr_recorder.header->latest.ticks >= second)
        read_instant(&ncr_recorder.header->latest);
}

/* ---- the folder ---- */

/*
 * The standard folder is in /dev/shm, where everybody may create files: it must be ours, and nobody else may write to
 * it. A folder that the user named is the user's choice; the file in it is new in any case.
 */
static int open_folder(const char *wanted, struct ncr_text *name, const char **why) {
    bool standard = strcmp(wanted, "1") == 0;
    struct stat status;
    if (standard)
        ncr_text_add(name, "/dev/shm/nccl-redirect-%u", own_user());
    else
        ncr_text_add(name, "%s", wanted);
    if (!name->data)
        return -1;
    if (call(SYS_mkdirat, AT_FDCWD, (long)name->data, 0700, 0) != 0 && errno != EEXIST) {
        *why = strerror(errno);
        return -1;
    }
    int folder = open(name->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (standard ? O_NOFOLLOW : 0));
    if (folder < 0)
        *why = errno == ELOOP || errno == ENOTDIR ? "it is not a folder, or it is a symbolic link" : strerror(errno);
    else if (standard &&
             (syscall(SYS_fstat, folder, &status) != 0 || status.st_uid != geteuid() || status.st_mode & 022))
        *why = "it belongs to another user, or others can write to it";
    if (*why && folder >= 0)
        close(folder);
    return *why ? -1 : folder;
}

/* ---- the file ---- */

static size_t place(struct trace_header *header, unsigned table, size_t at, size_t row_size, size_t rows) {
    header->tables[table] = (struct trace_table){at, (uint32_t)row_size, (uint32_t)rows};
    return at + (row_size * rows + 63) / 64 * 64;
}

static size_t lay_out(struct trace_header *header, size_t records) {
    size_t at = TRACE_HEADER_BYTES;
    at = place(header, TRACE_TABLE_COMMS, at, sizeof(struct trace_comm), TRACE_COMMS);
    at = place(header, TRACE_TABLE_THREADS, at, sizeof(struct trace_thread), TRACE_THREADS);
    at = place(header, TRACE_TABLE_TOTALS, at, sizeof(struct trace_total), TRACE_TOTALS);
    at = place(header, TRACE_TABLE_PEERS, at, sizeof(struct trace_peer), TRACE_PEERS);
    at = place(header, TRACE_TABLE_CALLERS, at, sizeof(struct trace_caller), TRACE_CALLERS);
    at = place(header, TRACE_TABLE_LIBRARIES, at, sizeof(struct trace_library), TRACE_LIBRARIES);
    at = place(header, TRACE_TABLE_BLOCKS, at, sizeof(uint32_t), records / TRACE_BLOCK);
    at = place(header, TRACE_TABLE_RING, at, sizeof(struct trace_record), records);
    return (at + 4095) / 4096 * 4096;
}

static void use(char *image, const struct trace_table *tables) {
    ncr_recorder.header = (struct trace_header *)(void *)image;
#define TABLE(field, name) ncr_recorder.field = (void *)(image + tables[name].offset)
    TABLE(comms, TRACE_TABLE_COMMS);
    TABLE(threads, TRACE_TABLE_THREADS);
    TABLE(totals, TRACE_TABLE_TOTALS);
    TABLE(peers, TRACE_TABLE_PEERS);
    TABLE(callers, TRACE_TABLE_CALLERS);
    TABLE(libraries, TRACE_TABLE_LIBRARIES);
    TABLE(blocks, TRACE_TABLE_BLOCKS);
    TABLE(ring, TRACE_TABLE_RING);
#undef TABLE
    ncr_recorder.block_count = tables[TRACE_TABLE_BLOCKS].rows;
}

static void fill(char *image, const struct trace_header *layout, size_t size) {
    struct trace_header *header = (struct trace_header *)(void *)image;
    memcpy(header->tables, layout->tables, sizeof layout->tables);
    use(image, layout->tables);
    ncr_recorder.size = size;
    ncr_recorder.clock = choose_clock();
    header->order = TRACE_ORDER;
    header->major = TRACE_MAJOR;
    header->minor = TRACE_MINOR;
    header->size = size;
    header->pointer_size = sizeof(void *);
    header->clock = ncr_recorder.clock;
    read_instant(&header->opened);
    header->latest = header->opened;
    describe_process(header);
    describe_nccl(header);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(header->magic, TRACE_MAGIC, sizeof header->magic);
}

/* HOST.PID.TIME.ncrtrace: the process and the time in a file's name. False: it is not one of ours. */
static bool read_name(const char *name, int *pid, unsigned long *made) {
    size_t length = strlen(name), suffix = sizeof TRACE_SUFFIX - 1;
    const char *dot =
        length > suffix && strcmp(name + length - suffix, TRACE_SUFFIX) == 0 ? name + length - suffix : NULL;
    for (unsigned dots = 0; dot && dots < 2; dots++)
        for (dot--; dot > name && *dot != '.';)
            dot--;
    char *end = NULL;
    *pid = dot && *dot == '.' ? (int)strtoul(dot + 1, &end, 10) : 0;
    *made = end && *end == '.' ? strtoul(end + 1, &end, 10) : 0;
    return *pid > 0 && *made > 0 && *end == '.';
}

/*
 * The files of processes that have ended are evidence, but /dev/shm is memory: the oldest are removed when there are
 * more than this. In a folder that the user named, nothing is ever removed.
 */
enum { MOST_KEPT = 64 };

static bool remove_oldest(int folder, const char *path) {
    int pid;
    DIR *all = opendir(path); /* ours, and nobody else's to write into: it is the folder that is open */
    unsigned long made, oldest = ~0ul;
    char name[256] = "";
    unsigned count = 0;
    for (struct dirent *entry; all && (entry = readdir(all));) {
        if (!read_name(entry->d_name, &pid, &made))
            continue;
        count++;
        if (made < oldest && call(SYS_kill, pid, 0, 0, 0) != 0 && errno == ESRCH) {
            oldest = made;
            memcpy(name, entry->d_name, strnlen(entry->d_name, sizeof name - 1) + 1);
        }
    }
    if (all)
        closedir(all);
    return count >= MOST_KEPT && *name && call(SYS_unlinkat, folder, (long)name, 0, 0) == 0;
}

/* Host names are what an administrator wrote; in a file name only letters, digits, '.', '-' and '_' stay. */
static void name_file(struct ncr_text *name) {
    struct utsname host;
    if (uname(&host) != 0)
        strcpy(host.nodename, "host");
    for (char *c = host.nodename; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *c))
            *c = '_';
    ncr_text_add(name, "%s.%d.%llu%s", host.nodename, (int)getpid(), (unsigned long long)nanoseconds(CLOCK_REALTIME),
                 TRACE_SUFFIX);
}

/* All blocks of the file, from the file system; where it cannot set them aside, by writing them. An error number. */
static int allocate(int file, size_t size) {
    char zeros[4096] = "";
    if (call(SYS_fallocate, file, 0, 0, (long)size) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(file, zeros, sizeof zeros);
        if (wrote <= 0 && !(wrote < 0 && errno == EINTR))
            return wrote < 0 ? errno : ENOSPC;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

/* Returns the mapping; NULL with *why. */
static char *make_file(int folder, const char *name, size_t size, const char **why) {
    int file = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) {
        *why = strerror(errno);
        return NULL;
    }
    char *image = NULL;
    int error = allocate(file, size);
    if (!error) {
        long address = syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0L);
        image = address == -1 ? NULL : (char *)address;
        error = errno;
    }
    if (!image)
        *why = strerror(error);
    close(file);
    if (!image)
        call(SYS_unlinkat, folder, (long)name, 0, 0);
    return image;
}

static bool make(void) {
    const struct ncr_config *config = ncr_settings();
    struct ncr_text folder_name = {0}, name = {0};
    struct trace_header *layout = calloc(1, sizeof *layout);
    const char *why = layout ? NULL : "out of memory";
    size_t size = layout ? lay_out(layout, config->trace_records) : 0;
    int folder = why ? -1 : open_folder(config->trace, &folder_name, &why);
    char *image = NULL;
    if (folder >= 0) {
        for (unsigned i = 0;
             strcmp(config->trace, "1") == 0 && i < MOST_KEPT && remove_oldest(folder, ncr_text_get(&folder_name)); i++)
            ;
        name_file(&name);
        image = name.data ? make_file(folder, name.data, size, &why) : NULL;
        close(folder);
    }
    if (image)
        fill(image, layout, size);
    else
        ncr_log(
            NCR_ERROR,
            "calls are not recorded: \"%s\": %s; a trace takes %zu KiB, NCCL_REDIRECT_TRACE may name another folder",
            ncr_text_get(&folder_name), why ? why : "out of memory", size >> 10);
    if (image)
        ncr_log(NCR_INFO, "calls are recorded in %s/%s", ncr_text_get(&folder_name), ncr_text_get(&name));
    ncr_text_free(&folder_name);
    ncr_text_free(&name);
    free(layout);
    return image != NULL;
}

/* ---- forks and the end ---- */

static void before_fork(void) {
    ncr_mutex_lock(&ncr_recorder.mutex);
}

static void in_parent(void) {
    ncr_mutex_unlock(&ncr_recorder.mutex);
}

/* The mapping is the parent's file: it goes, and the child's first call makes a file of its own. */
static void in_child(void) {
    if (ncr_recorder.header)
        call(SYS_munmap, (long)ncr_recorder.header, (long)ncr_recorder.size, 0, 0);
    ncr_recorder.header = NULL;
    ncr_record_forget_all();
    atomic_store(&ncr_recorder.generation, 0);
    given_up = false;
    ncr_mutex_unlock(&ncr_recorder.mutex);
}

/* Another number than that of the parent's file, which threads of the child still remember. */
static uint32_t next_generation(void) {
    static uint32_t last;
    return ++last;
}

/** Makes the file, if that was not tried. From then on the generation is not 0, whatever came of it. */
void ncr_record_open(void) {
    static bool registered;
    ncr_mutex_lock(&ncr_recorder.mutex);
    if (!ncr_recorder.header && !given_up) {
        if (!registered)
            ncr_at_fork(before_fork, in_parent, in_child);
        registered = true;
        given_up = !make();
        atomic_store(&ncr_recorder.generation, next_generation());
    }
    ncr_mutex_unlock(&ncr_recorder.mutex);
}

/* exit() was called; a process that is killed does not come here. */
__attribute__((destructor)) static void note_exit(void) {
    if (ncr_recorder.header)
        __atomic_store_n(&ncr_recorder.header->ended, ncr_record_ticks(), __ATOMIC_RELEASE);
}
