/*
 * The one sink. A line is one write(2), so that lines of many ranks do not mix; stderr or a file, never stdout. Events
 * are rare (a decision, a refusal, a missing function), so the file is opened for each line and no descriptor is held
 * across fork or exec.
 */
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static enum ncr_level wanted = NCR_WARN; /* set once per process, when the configuration is read */
static const char *file_pattern;         /* likewise; NULL is stderr */

/** Set level and file for the rest of the process; `file` is kept, not copied. */
void ncr_log_open(enum ncr_level level, const char *file) {
    wanted = level;
    file_pattern = file;
}

bool ncr_log_wants(enum ncr_level level) {
    return wanted != NCR_OFF && (level <= wanted || level == NCR_ANNOUNCE);
}

static void host_name(struct utsname *name) {
    if (uname(name) != 0)
        strcpy(name->nodename, "?");
}

static int open_file(const struct utsname *host) {
    struct ncr_text name = {0};
    for (const char *c = file_pattern; *c; c++) {
        if (c[0] == '%' && c[1] == 'h') {
            ncr_text_add(&name, "%s", host->nodename);
            c++;
        } else if (c[0] == '%' && c[1] == 'p') {
            ncr_text_add(&name, "%d", (int)getpid());
            c++;
        } else {
            ncr_text_add(&name, "%c", *c);
        }
    }
    /* Without O_NONBLOCK a FIFO that nobody reads would stop the program here. */
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int file = name.data ? open(name.data, flags, 0644) : -1;
    ncr_text_free(&name);
    return file;
}

static void write_line(int file, const struct ncr_text *line) {
    size_t done = 0;
    while (done < line->length) {
        ssize_t wrote = write(file, line->data + done, line->length - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return;
        done += (size_t)wrote;
    }
}

/* A reader that has gone away must not end the program by a line of ours: SIGPIPE is held back and taken off. */
static void write_quietly(int file, const struct ncr_text *line) {
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    bool masked = !sigismember(&pending, SIGPIPE) && sigprocmask(SIG_BLOCK, &pipe, &before) == 0;
    write_line(file, line);
    if (!masked)
        return;
    sigpending(&pending);
    if (sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0, 0}) < 0 && errno == EINTR)
            ;
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* An event is one line, whatever characters a path or the dynamic loader's message has. */
static void flatten(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

/** Write one line if `level` is wanted: "nccl-redirect: HOST:PID: LEVEL: text". Keeps errno. */
void ncr_log(enum ncr_level level, const char *format, ...) {
    static const char *const names[] = {"", "error", "warning", "info", "debug", "info"};
    if (!ncr_log_wants(level))
        return;
    int error = errno;
    struct utsname host;
    host_name(&host);
    char *text = NULL;
    va_list list;
    va_start(list, format);
    int length = vasprintf(&text, format, list);
    va_end(list);
    if (length >= 0) {
        struct ncr_text line = {0};
        flatten(text);
        int file = file_pattern ? open_file(&host) : STDERR_FILENO;
        const char *lost = file < 0 ? " (and NCCL_REDIRECT_LOG_FILE cannot be written: " : NULL;
        ncr_text_add(&line, "nccl-redirect: %s:%d: %s: %s", host.nodename, (int)getpid(), names[level], text);
        if (lost)
            ncr_text_add(&line, "%s\"%s\", %s)", lost, file_pattern, strerror(errno));
        ncr_text_add(&line, "\n");
        write_quietly(file < 0 ? STDERR_FILENO : file, &line);
        if (file > STDERR_FILENO)
            close(file);
        ncr_text_free(&line);
        free(text);
    }
    errno = error;
}
