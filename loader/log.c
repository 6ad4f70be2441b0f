/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one sink: an event is one line. Lines go out through log_output.c, at once or, in a thread that holds lines back,
 * later: a write can block for ever (a pipe that nobody reads), and a thread that binds holds the dynamic loader's lock
 * meanwhile, for which every other thread that loads a library would wait.
 */
#include "loader.h"
#include "log_output.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static _Atomic enum ncr_level wanted = NCR_WARN; /* set when the configuration is read, to the same by every thread */
static _Atomic(const char *) file_pattern;       /* likewise; NULL is stderr. Kept for ever */

/* Lines of this thread that are held back. */
static __thread struct {
    unsigned depth;
    struct ncr_text lines;
} held;

/** Set level and file for the rest of the process. Any thread; another thread can only have set the same values. */
void ncr_log_open(enum ncr_level level, const char *file) {
    const char *known = NULL, *copy = file ? strdup(file) : NULL;
    wanted = level;
    if (copy && !atomic_compare_exchange_strong(&file_pattern, &known, copy))
        free((char *)copy);
}

static bool is_wanted(enum ncr_level level) {
    return wanted != NCR_OFF && (level <= wanted || level == NCR_ANNOUNCE);
}

static const char *host_name(struct utsname *name) {
    return uname(name) == 0 ? name->nodename : "?";
}

/* The file's name, with %h and %p replaced; a fresh string, or NULL on lack of memory. */
static char *file_name(void) {
    struct utsname host;
    struct ncr_text name = {0};
    for (const char *c = file_pattern; *c; c++) {
        if (c[0] == '%' && c[1] == 'h') {
            for (const char *h = host_name(&host); *h; h++) /* a container's root may call its host "../x" */
                ncr_text_add(&name, "%c", *h == '/' ? '_' : *h);
            c++;
        } else if (c[0] == '%' && c[1] == 'p') {
            ncr_text_add(&name, "%d", (int)getpid());
            c++;
        } else {
            ncr_text_add(&name, "%c", *c);
        }
    }
    return name.data;
}

/* Write the lines to the log file; where that fails, to stderr with the reason behind the last of them. */
static void write_lines(const char *lines, size_t length) {
    char *name = file_pattern ? file_name() : NULL;
    const char *reason = name ? ncr_log_write_file(name, lines, length) : file_pattern ? "out of memory" : NULL;
    free(name);
    if (file_pattern && !reason)
        return;
    struct ncr_text text = {0};
    ncr_text_add(&text, "%.*s", (int)(length - 1), lines);
    if (reason) {
        ncr_text_add(&text, " (and NCCL_REDIRECT_LOG_FILE cannot be written: \"");
        ncr_text_add_visible(&text, file_pattern, strlen(file_pattern));
        ncr_text_add(&text, "\", %s)", reason);
    }
    ncr_text_add(&text, "\n");
    ncr_log_write_stderr(ncr_text_get(&text), text.length);
    ncr_text_free(&text);
}

/** From now on hold back the lines of this thread. Nests. */
void ncr_log_hold(void) {
    held.depth++;
}

/** Write, or else forget, what was held back since the outermost ncr_log_hold(). Keeps errno. */
void ncr_log_release(bool write) {
    if (--held.depth > 0 || held.lines.length == 0)
        return;
    int error = errno;
    struct ncr_text lines = held.lines;
    held.lines = (struct ncr_text){0};
    if (write)
        write_lines(lines.data, lines.length);
    ncr_text_free(&lines);
    errno = error;
}

/* "nccl-redirect: HOST:PID: LEVEL: text\n"; text from outside cannot end the line or control a terminal. */
static void add_line(struct ncr_text *line, enum ncr_level level, const char *text, size_t length) {
    static const char *const names[] = {"", "error", "warning", "info", "debug", "info"};
    struct utsname host;
    const char *name = host_name(&host);
    ncr_text_add(line, "nccl-redirect: ");
    ncr_text_add_visible(line, name, strlen(name));
    ncr_text_add(line, ":%d: %s: ", (int)getpid(), names[level]);
    ncr_text_add_visible(line, text, length);
    ncr_text_add(line, "\n");
}

/* What is held back belongs to one event, and is not limited. */
static void log_text(enum ncr_level level, const char *kind, struct ncr_text *text) {
    struct ncr_text now = {0}, *line = held.depth > 0 ? &held.lines : &now;
    unsigned long count = 0;
    if (held.depth == 0 && level != NCR_DEBUG && !ncr_log_admits(kind, ncr_text_get(text), &count))
        return;
    if (count > 0)
        ncr_text_add(text, " (%lu such lines so far; repeated ones are left out)", count);
    add_line(line, level, ncr_text_get(text), text->length);
    if (now.length > 0)
        write_lines(now.data, now.length);
    ncr_text_free(&now);
}

static void log_list(enum ncr_level level, const char *kind, const char *format, va_list list) {
    if (!is_wanted(level))
        return;
    int error = errno;
    struct ncr_text text = {0};
    ncr_text_add_list(&text, format, list);
    log_text(level, kind, &text);
    ncr_text_free(&text);
    errno = error;
}

/** Write one line if `level` is wanted: "nccl-redirect: HOST:PID: LEVEL: text". Any thread. Keeps errno. */
void ncr_log(enum ncr_level level, const char *format, ...) {
    va_list list;
    va_start(list, format);
    log_list(level, format, format, list);
    va_end(list);
}

/** The same with another string than the format for the kind of line, of which only so many are written (log_limit.c). */
void ncr_log_kind(enum ncr_level level, const char *kind, const char *format, ...) {
    va_list list;
    va_start(list, format);
    log_list(level, kind, format, list);
    va_end(list);
}
