/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of this process: made at its first call that is recorded, never in a process that makes none. All its blocks
 * are allocated before it is mapped, because a mapping of a file that a full file system cannot back ends the program by
 * SIGBUS, at some later call. What cannot be done is one line in the log, and calls go on unrecorded.
 */
#include "every_process.h"
#include "recorder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

NCR_EVERY_PROCESS_DATA struct ncr_recorder ncr_recorder;

/* Under the mutex: no second try, and no second line, of one process. */
static bool given_up;

/* ---- the folder ---- */

/*
 * The standard folder is in /dev/shm, where everybody may create files: it must be ours, and nobody else may write to
 * it. A folder that the user named is the user's choice; the file in it is new in any case.
 */
static int open_folder(const char *wanted, struct ncr_text *name, const char **why) {
    bool standard = strcmp(wanted, "1") == 0;
    struct stat status;
    if (standard)
        ncr_text_add(name, "/dev/shm/nccl-redirect-%u", getuid());
    else
        ncr_text_add(name, "%s", wanted);
    if (!name->data)
        return -1;
    if (mkdir(name->data, 0700) != 0 && errno != EEXIST) {
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
    header->order = TRACE_ORDER;
    header->major = TRACE_MAJOR;
    header->minor = TRACE_MINOR;
    header->size = size;
    header->pointer_size = sizeof(void *);
    ncr_record_describe(header);
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
        if (made < oldest && kill(pid, 0) != 0 && errno == ESRCH) {
            oldest = made;
            memcpy(name, entry->d_name, strnlen(entry->d_name, sizeof name - 1) + 1);
        }
    }
    if (all)
        closedir(all);
    return count >= MOST_KEPT && *name && unlinkat(folder, name, 0) == 0;
}

/* Host names are what an administrator wrote; in a file name only letters, digits, '.', '-' and '_' stay. */
static void name_file(struct ncr_text *name) {
    struct utsname host;
    if (uname(&host) != 0)
        strcpy(host.nodename, "host");
    for (char *c = host.nodename; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *c))
            *c = '_';
    ncr_text_add(name, "%s.%d.%llu%s", host.nodename, (int)getpid(),
                 (unsigned long long)ncr_record_nanoseconds(CLOCK_REALTIME), TRACE_SUFFIX);
}

/* All blocks of the file, from the file system; where it cannot set them aside, by writing them. An error number. */
static int allocate(int file, size_t size) {
    char zeros[4096] = "";
    if (fallocate(file, 0, 0, (off_t)size) == 0)
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
        image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
        error = errno;
        image = image == MAP_FAILED ? NULL : image;
    }
    if (!image)
        *why = strerror(error);
    close(file);
    if (!image)
        unlinkat(folder, name, 0);
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
        munmap(ncr_recorder.header, ncr_recorder.size);
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
    static _Atomic unsigned registered;
    ncr_at_fork(&registered, before_fork, in_parent, in_child);
    ncr_mutex_lock(&ncr_recorder.mutex);
    if (!ncr_recorder.header && !given_up) {
        given_up = !make();
        atomic_store(&ncr_recorder.generation, next_generation());
    }
    ncr_mutex_unlock(&ncr_recorder.mutex);
}

/* exit() was called; a process that is killed does not come here. */
NCR_EVERY_PROCESS __attribute__((destructor)) static void note_exit(void) {
    if (ncr_recorder.header)
        __atomic_store_n(&ncr_recorder.header->ended, ncr_record_ticks(), __ATOMIC_RELEASE);
}
