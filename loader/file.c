/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File system calls and path building. stat and fstat became new symbols in glibc 2.33, with which the shim would not
 * load on older systems; the system call is the same on all. Every call is counted: a job of ten thousand ranks asks
 * the same shared file system.
 */
#include "every_process.h"
#include "loader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic unsigned calls; /* threads may search at once; read by tests and by the debug log */

/** How many file system calls the loader has made in this process; closing is not counted, it asks no server. */
unsigned ncr_file_calls(void) {
    return calls;
}

static bool check_first; /* written once, at the start of the tool */

/**
 * For the tool, which root runs on other users' files: from now on only regular files are opened. Opening alone acts on
 * many devices (a watchdog reboots the host, a tape is rewound), and a FIFO tells its writer.
 */
void ncr_file_check_first(void) {
    check_first = true;
}

enum { MOST_SIGNALS = 100 };

/*
 * A call has failed: should it be repeated? Yes if a signal interrupted it, and once if a file server has failed or has
 * lost the file (ESTALE: its name leads to it again). Otherwise the failure is noted.
 */
static bool is_to_repeat(unsigned *failures) {
    unsigned most = errno == EINTR ? MOST_SIGNALS : errno == EIO || errno == ESTALE ? 1 : 0;
    if ((*failures)++ < most)
        return true;
    ncr_passing_note(errno);
    return false;
}

static int open_file(const char *path, int flags) {
    unsigned failures = 0;
    int file;
    do {
        calls++;
        file = open(path, flags);
    } while (file < 0 && is_to_repeat(&failures));
    return file;
}

/* Of a path or, if that is NULL, of an open file. */
static bool read_status(const char *path, int file, struct stat *status) {
    unsigned failures = 0;
    long result;
    do {
        calls++;
        result = path ? syscall(SYS_newfstatat, AT_FDCWD, path, status, 0) : syscall(SYS_fstat, file, status);
    } while (result != 0 && is_to_repeat(&failures));
    return result == 0;
}

static bool can_access(const char *path, int how) {
    unsigned failures = 0;
    int result;
    do {
        calls++;
        result = access(path, how);
    } while (result != 0 && is_to_repeat(&failures));
    return result == 0;
}

static DIR *open_folder(const char *path) {
    unsigned failures = 0;
    DIR *folder;
    do {
        calls++;
        folder = opendir(path);
    } while (!folder && is_to_repeat(&failures));
    return folder;
}

/* The next entry, or NULL at the end. An error ends it too, and is noted. */
static struct dirent *next_entry(DIR *folder) {
    errno = 0;
    struct dirent *entry = readdir(folder);
    if (!entry && errno)
        ncr_passing_note(errno);
    return entry;
}

/* -1, and errno as it was. */
static int close_failed(int file) {
    int error = errno;
    close(file);
    errno = error;
    return -1;
}

/*
 * O_PATH finds the file without opening it; the descriptor's own link then leads to that same file, whatever has
 * happened to its name. A file that is not regular is not opened further: its status tells what it is, and reading
 * fails.
 */
static int open_checked(const char *path, int flags, struct stat *status) {
    char link[32];
    int place = open_file(path, O_PATH | O_CLOEXEC);
    if (place < 0)
        return -1;
    if (!read_status(NULL, place, status))
        return close_failed(place);
    if (!S_ISREG(status->st_mode))
        return place;
    snprintf(link, sizeof link, "/proc/self/fd/%d", place);
    int file = open_file(link, flags);
    if (file < 0 && errno == ENOENT) /* no /proc here */
        file = open_file(path, flags | O_NOFOLLOW);
    close_failed(place);
    return file;
}

/**
 * Open for reading and get the file's status. Never blocks (a FIFO is opened too, and told by its status). Returns the
 * descriptor, or -1 with errno.
 */
int ncr_file_open(const char *path, struct stat *status) {
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if (check_first)
        return open_checked(path, flags, status);
    int file = open_file(path, flags);
    if (file < 0)
        return -1;
    return read_status(NULL, file, status) ? file : close_failed(file);
}

/**
 * Read exactly `size` bytes; false at the end of the file or on an error. Reading, unlike mapping, cannot raise SIGBUS.
 */
bool ncr_file_read_at(int file, void *into, size_t size, uint64_t offset) {
    char *at = into;
    unsigned failures = 0;
    while (size > 0) {
        calls++;
        ssize_t got = pread(file, at, size, (off_t)offset);
        if (got < 0 && is_to_repeat(&failures))
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

/** The first `most` bytes of a small file as a string for free(), or NULL. Works for /proc, where sizes are 0. */
char *ncr_file_text(const char *path, size_t most) {
    struct stat status;
    int file = ncr_file_open(path, &status);
    if (file < 0)
        return NULL;
    char *text = S_ISREG(status.st_mode) ? ncr_allocate(1, most + 1) : NULL;
    size_t length = 0;
    unsigned failures = 0;
    while (text && length < most) {
        calls++;
        ssize_t got = read(file, text + length, most - length);
        if (got < 0 && is_to_repeat(&failures))
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
        if (status.st_size > 0 && length >= (size_t)status.st_size) /* the end: nothing to ask for */
            break;
    }
    if (text)
        text[length] = '\0';
    close(file);
    return text;
}

/** What stat() tells; false if there is no such file. */
bool ncr_file_status(const char *path, struct stat *status) {
    return read_status(path, -1, status);
}

bool ncr_file_exists(const char *path) {
    return can_access(path, F_OK);
}

bool ncr_file_is_executable(const char *path) {
    return can_access(path, X_OK);
}

/** Where a symbolic link points, as a fresh string; NULL if `path` is not a symbolic link. */
char *ncr_file_link(const char *path) {
    char target[PATH_MAX];
    unsigned failures = 0;
    ssize_t length;
    do {
        calls++;
        length = readlink(path, target, sizeof target);
    } while (length < 0 && is_to_repeat(&failures));
    return length < 0 ? NULL : ncr_copy_part(target, (size_t)length);
}

/**
 * The path with all links resolved, as a fresh string, or NULL. By the kernel in two calls, where realpath() makes one
 * for each part of the path.
 */
char *ncr_file_real(const char *path) {
    int file = open_file(path, O_PATH | O_CLOEXEC);
    if (file < 0)
        return NULL;
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    char *real = ncr_file_link(name);
    close(file);
    return real;
}

/**
 * An absolute name for `path`, which is meant from `folder` if it is relative; a fresh string or NULL. Of a relative one
 * the folder's links and dots are resolved ("./python3" lies in bin), the file's own links are not.
 */
char *ncr_file_absolute(const char *path, const char *folder) {
    if (*path == '/')
        return ncr_copy(path);
    char *joined = folder ? ncr_path("%s/%s", folder, path) : NULL, *parent = joined ? ncr_parent(joined, 1) : NULL;
    char *real = parent ? ncr_file_real(parent) : NULL;
    char *absolute = real ? ncr_path("%s/%s", real, ncr_basename(joined)) : NULL;
    free(real);
    free(parent);
    free(joined);
    return absolute;
}

/** Visit the names in a folder, in no order, until the visitor returns true. */
void ncr_file_names(const char *path, bool (*visit)(void *arg, const char *name), void *arg) {
    DIR *folder = open_folder(path);
    if (!folder)
        return;
    calls += 3; /* fstat, and getdents until it returns nothing */
    for (struct dirent *entry; (entry = next_entry(folder));)
        if (visit(arg, entry->d_name))
            break;
    closedir(folder);
}

struct newest {
    const char *prefix;
    char *name;
};

static bool compare_newest(void *arg, const char *name) {
    struct newest *newest = arg;
    if (ncr_begins(name, newest->prefix) && (!newest->name || strverscmp(name, newest->name) > 0)) {
        free(newest->name);
        newest->name = ncr_copy(name);
    }
    return false;
}

/** The newest entry of a folder that begins with `prefix`, by the numbers in the names, as a fresh string; or NULL. */
char *ncr_file_newest(const char *path, const char *prefix) {
    struct newest newest = {prefix, NULL};
    ncr_file_names(path, compare_newest, &newest);
    return newest.name;
}

struct among {
    const char *folder, *part, *inside;
    char *found;
};

static bool look_inside(void *arg, const char *name) {
    struct among *among = arg;
    char *path = strstr(name, among->part) ? ncr_path("%s/%s%s", among->folder, name, among->inside) : NULL;
    if (path && ncr_file_exists(path))
        among->found = path;
    else
        free(path);
    return among->found;
}

/**
 * The first file FOLDER/ENTRY`inside` that exists, for the entries whose name has `part` in it, as a fresh string; or
 * NULL.
 */
char *ncr_file_among(const char *path, const char *part, const char *inside) {
    struct among among = {path, part, inside, NULL};
    ncr_file_names(path, look_inside, &among);
    return among.found;
}

/** printf into a fresh string for free(); NULL on lack of memory. */
char *ncr_path(const char *format, ...) {
    va_list list;
    va_start(list, format);
    char *path = ncr_print_list(format, list);
    va_end(list);
    return path;
}

/* Users write "/opt/venv/" and "/opt//venv" too. */
static void cut_slashes(char *path) {
    for (size_t end = strlen(path); end > 1 && path[end - 1] == '/'; end--)
        path[end - 1] = '\0';
}

/**
 * The folder `levels` steps above a path, as a fresh string without slashes at its end: ("/a/b/c/", 1) is "/a/b", and
 * with 0 levels "/a/b/c". NULL if there is none.
 */
char *ncr_parent(const char *path, unsigned levels) {
    char *copy = ncr_copy(path);
    if (copy)
        cut_slashes(copy);
    while (copy && levels-- > 0) {
        char *slash = strrchr(copy, '/');
        if (!slash) {
            free(copy);
            return NULL;
        }
        *slash = '\0';
        cut_slashes(copy);
    }
    return copy;
}

NCR_EVERY_PROCESS const char *ncr_basename(const char *path) {
    const char *base = path;
    for (; *path; path++)
        if (*path == '/')
            base = path + 1;
    return base;
}
