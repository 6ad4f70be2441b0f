/*
 * File system calls and path building. stat and fstat became new symbols in glibc 2.33, with which the shim would not
 * load on older systems; the system call is the same on all. Every call is counted: a job of ten thousand ranks asks
 * the same shared file system.
 */
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned calls; /* written under the binding lock, read by tests and by the debug log */

/** How many file system calls the loader has made in this process. */
unsigned ncr_file_calls(void) {
    return calls;
}

/** Count a call that is made elsewhere (opendir). */
void ncr_file_count(void) {
    calls++;
}

/**
 * Open for reading and get the file's status. Never blocks (a FIFO is opened too, and told by its status).
 * Returns the descriptor, or -1 with errno.
 */
int ncr_file_open(const char *path, struct stat *status) {
    calls++;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return -1;
    calls++;
    if (syscall(SYS_fstat, file, status) != 0) {
        int error = errno;
        close(file);
        errno = error;
        return -1;
    }
    return file;
}

/** Read exactly `size` bytes; false at the end of the file or on an error. Reading, unlike mapping, cannot raise SIGBUS. */
bool ncr_file_read_at(int file, void *into, size_t size, uint64_t offset) {
    char *at = into;
    while (size > 0) {
        calls++;
        ssize_t got = pread(file, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
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
    char *text = S_ISREG(status.st_mode) ? malloc(most + 1) : NULL;
    size_t length = 0;
    while (text && length < most) {
        calls++;
        ssize_t got = read(file, text + length, most - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    if (text)
        text[length] = '\0';
    close(file);
    return text;
}

bool ncr_file_exists(const char *path) {
    calls++;
    return access(path, F_OK) == 0;
}

/** printf into a fresh string for free(); NULL on lack of memory. */
char *ncr_path(const char *format, ...) {
    va_list list;
    va_start(list, format);
    char *path;
    int length = vasprintf(&path, format, list);
    va_end(list);
    return length < 0 ? NULL : path;
}

/** The folder `levels` steps above a path, as a fresh string: ("/a/b/c", 1) is "/a/b". NULL if there is none. */
char *ncr_parent(const char *path, unsigned levels) {
    char *copy = strdup(path);
    while (copy && levels-- > 0) {
        char *slash = strrchr(copy, '/');
        if (!slash) {
            free(copy);
            return NULL;
        }
        *slash = '\0';
    }
    return copy;
}

const char *ncr_basename(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
