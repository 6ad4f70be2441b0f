/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing lines of the log so that a failure has no other effect: no signal of a failed write reaches the program, no
 * descriptor stays open or takes the place of a closed stdin, stdout or stderr, no link of another user leads the file
 * elsewhere, and stderr is written only while it is a place for messages.
 */
#include "every_process.h"
#include "loader.h"
#include "log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- writing: lines of many ranks do not mix, since all that is to be said goes out by one write(2) ---- */

/* Returns 0, or the error. */
static int write_all(int file, const char *lines, size_t length) {
    while (length > 0) {
        ssize_t wrote = write(file, lines, length);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? errno : EIO;
        lines += wrote;
        length -= (size_t)wrote;
    }
    return 0;
}

/* Unless it was pending before, and so is not ours. */
static void take_back(const sigset_t *pending_before, int signal) {
    sigset_t pending, one;
    sigpending(&pending);
    if (!sigismember(&pending, signal) || sigismember(pending_before, signal))
        return;
    sigemptyset(&one);
    sigaddset(&one, signal);
    while (sigtimedwait(&one, NULL, &(struct timespec){0, 0}) < 0 && errno == EINTR)
        ;
}

/**
 * Write lines to an open file, in one piece where the kernel does; returns 0 or the error.
 *
 * A reader that has gone (SIGPIPE), a file at its limit (SIGXFSZ) or a terminal that belongs to another job (SIGTTOU)
 * must not end or stop the program by a line of ours. The kernel sends all three to the thread that writes, so they are
 * blocked in this thread and taken back. Blocking SIGTTOU lets the write through.
 */
int ncr_log_write(int file, const char *lines, size_t length) {
    sigset_t signals, before, pending;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    sigaddset(&signals, SIGXFSZ);
    sigaddset(&signals, SIGTTOU);
    sigpending(&pending);
    bool blocked = sigprocmask(SIG_BLOCK, &signals, &before) == 0;
    int error = write_all(file, lines, length);
    if (blocked) {
        take_back(&pending, SIGPIPE);
        take_back(&pending, SIGXFSZ);
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    return error;
}

/* ---- stderr ---- */

NCR_EVERY_PROCESS_DATA static struct {
    bool known, open;
    dev_t device;
    ino_t inode;
} start; /* stderr when the process started; written by the constructor, before any other thread */

/** Remember what stderr is. In the constructor of the preload; without this call it is written as it is. */
NCR_EVERY_PROCESS void ncr_log_start(void) {
    struct stat status;
    start.open = syscall(SYS_fstat, STDERR_FILENO, &status) == 0;
    start.known = true;
    if (start.open) {
        start.device = status.st_dev;
        start.inode = status.st_ino;
    }
}

/*
 * A program that started without stderr, or has closed it, may have a file or a connection of its own there. What it has
 * put in stderr's place on purpose is a terminal, a pipe (notebooks, test runners) or a file opened for appending (Ray
 * and other supervisors): a line does no harm to those.
 */
static bool stderr_takes_messages(void) {
    struct stat status;
    if (!start.known)
        return true;
    if (!start.open || syscall(SYS_fstat, STDERR_FILENO, &status) != 0)
        return false;
    if (status.st_dev == start.device && status.st_ino == start.inode)
        return true;
    if (S_ISREG(status.st_mode))
        return (fcntl(STDERR_FILENO, F_GETFL) & O_APPEND) != 0;
    return S_ISFIFO(status.st_mode) || isatty(STDERR_FILENO);
}

/** Write lines to stderr, if it is still a place for messages. There is no way to report a failure. */
void ncr_log_write_stderr(const char *lines, size_t length) {
    if (stderr_takes_messages())
        ncr_log_write(STDERR_FILENO, lines, length);
}

/* ---- the file ---- */

/* O_NONBLOCK: a FIFO that nobody reads, or that is full, would stop the program here. */
enum { FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, MOST_LINKS = 8 };

/* Where descriptors 0 to 2 are closed, open() gives one of them, and the program's own output would land in the log. */
static int above_stderr(int file) {
    if (file < 0 || file > STDERR_FILENO)
        return file;
    int moved = fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = errno;
    close(file);
    errno = error;
    return moved;
}

static bool is_ours(uid_t owner) {
    return owner == geteuid() || owner == 0;
}

/* May others create or replace files in this folder? */
static bool is_shared(int folder) {
    struct stat status;
    return syscall(SYS_fstat, folder, &status) != 0 || !is_ours(status.st_uid) || (status.st_mode & 022) != 0;
}

/* In a folder that others can write to, the file must be this user's own and have no second hard link. */
static int opened_safely(int file, bool shared) {
    struct stat status;
    if (file < 0 || !shared)
        return file;
    if (syscall(SYS_fstat, file, &status) == 0 && is_ours(status.st_uid) && status.st_nlink == 1)
        return file;
    close(file);
    errno = EPERM;
    return -1;
}

/* The path behind a link `base` in `folder`, as a fresh string, or NULL with errno. */
static char *behind_link(int folder, const char *parent, const char *base) {
    char target[4096];
    ssize_t length = readlinkat(folder, base, target, sizeof target - 1);
    if (length < 0)
        return NULL;
    target[length] = '\0';
    return *target == '/' ? ncr_copy(target) : ncr_path("%s/%s", parent, target);
}

/*
 * Open for appending. A link is followed only where nobody else can have created it: not in a folder that others can
 * write to, such as /tmp. Links of /proc (/dev/stderr leads there) are the kernel's, and name no path.
 */
static int open_path(const char *path, unsigned links) {
    if (ncr_begins(path, "/proc/"))
        return above_stderr(open(path, FLAGS, 0644));
    const char *base = ncr_basename(path);
    char *parent = base == path ? ncr_copy(".") : ncr_path("%.*s", (int)(base - path), path);
    int folder = parent ? above_stderr(open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC)) : -1, file = -1;
    bool shared = folder >= 0 && is_shared(folder);
    if (folder >= 0 && *base)
        file = above_stderr(openat(folder, base, FLAGS | O_NOFOLLOW, 0644));
    else if (folder >= 0)
        errno = EISDIR;
    if (file < 0 && folder >= 0 && errno == ELOOP && !shared && links < MOST_LINKS) {
        char *target = behind_link(folder, parent, base);
        file = target ? open_path(target, links + 1) : -1;
        free(target);
    } else {
        file = opened_safely(file, shared);
    }
    int error = errno;
    if (folder >= 0)
        close(folder);
    free(parent);
    errno = error;
    return file;
}

/** Open FOLDER/BASE for appending, created with mode 0644 where there is none. A link is not followed. -1 with errno. */
int ncr_log_open_at(const char *folder, const char *base) {
    int at = above_stderr(open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (at < 0)
        return -1;
    int file = opened_safely(above_stderr(openat(at, base, FLAGS | O_NOFOLLOW, 0644)), is_shared(at)), error = errno;
    close(at);
    errno = error;
    return file;
}

static const char *reason(int error) {
    if (error == ELOOP)
        return "a symbolic link in a folder that others can write to is not followed";
    if (error == EPERM)
        return "it belongs to another user or has a second hard link, in a folder that others can write to";
    return strerror(error);
}

/** Append lines to a file, created with mode 0644 where there is none. Returns NULL, or why it cannot be written. */
const char *ncr_log_write_file(const char *path, const char *lines, size_t length) {
    int file = open_path(path, 0);
    if (file < 0)
        return reason(errno);
    int error = ncr_log_write(file, lines, length);
    close(file);
    return error ? strerror(error) : NULL;
}
