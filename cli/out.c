/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the tool's answers look, and the one place where text becomes output. Paths, command lines, host names and values
 * of variables come from other users too, and root reads them on a terminal: what is formatted here is made visible
 * (ncr_text_add_visible) as a whole, and color is put around it, never into it.
 *
 * For people: wrapped at the width of the terminal, with colour. For programs (standard output is no terminal): one
 * record is one line, so that grep finds all of it; or JSON.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void) {
    fputs("nccl-redirect: out of memory\n", stderr);
    exit(EXIT_CANNOT_RUN);
}

static char *format_list(const char *format, va_list list) {
    char *text;
    if (vasprintf(&text, format, list) < 0)
        out_of_memory();
    return text;
}

const char *formatted(const char *format, ...) {
    va_list list;
    va_start(list, format);
    const char *text = format_list(format, list);
    va_end(list);
    return text;
}

void *list_grow(void *list, size_t count, size_t size) {
    if (count & (count - 1)) /* room doubles at each power of two */
        return list;
    void *more = realloc(list, (count ? 2 * count : 1) * size);
    if (!more)
        out_of_memory();
    return more;
}

/* ---- the terminal ---- */

static bool is_terminal(int file) {
    static int known[3] = {-1, -1, -1};
    if (known[file] < 0)
        known[file] = isatty(file) ? 1 : 0;
    return known[file];
}

/* Asked once: explain --pid takes over the environment of another process. */
static bool has_colour(void) {
    static int known = -1;
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    if (known < 0)
        known = is_terminal(STDOUT_FILENO) && !(no && *no) && !(terminal && strcmp(terminal, "dumb") == 0);
    return known;
}

/* Columns of the terminal; below 40 wrapping helps nobody. */
static unsigned terminal_width(int file) {
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    unsigned width = ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col
                     : columns && atoi(columns) > 0                     ? (unsigned)atoi(columns)
                                                                        : 80;
    return width < 40 ? 40 : width;
}

/* Columns of a UTF-8 text, colour codes not counted. */
static unsigned columns_of(const char *text, size_t length) {
    unsigned count = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\033')
            while (i < length && text[i] != 'm')
                i++;
        else
            count += (text[i] & 0xc0) != 0x80;
    }
    return count;
}

/*
 * Write words from column `at` on; a line that would exceed the width continues below, at `indent`. A word is never
 * split: a path that was split could not be copied.
 */
static void wrap(FILE *to, unsigned width, unsigned at, unsigned indent, const char *text) {
    for (bool first = true; *text; first = false) {
        size_t blanks = strspn(text, " "), length = strcspn(text + blanks, " ");
        unsigned columns = columns_of(text + blanks, length);
        if (!first && length && at + blanks > indent && at + blanks + columns > width) {
            fprintf(to, "\n%*s", (int)indent, "");
            at = indent;
        } else {
            fprintf(to, "%*s", (int)blanks, "");
            at += (unsigned)blanks;
        }
        fwrite(text + blanks, 1, length, to);
        at += columns;
        text += blanks + length;
    }
    putc('\n', to);
}

/* ---- lines and records ---- */

static struct ncr_text line; /* what line_add() has collected, visible, with colour codes */
static bool in_record;
static struct ncr_text record; /* the lines of one, where standard output is no terminal */

static void add_visible(enum tone tone, const char *text) {
    static const char *const codes[] = {"0", "32", "33", "31;1", "2", "1"};
    bool tinted = tone != PLAIN && *text && has_colour();
    if (tinted)
        ncr_text_add(&line, "\033[%sm", codes[tone]);
    ncr_text_add_visible(&line, text, strlen(text));
    if (tinted)
        ncr_text_add(&line, "\033[0m");
}

/** Append a piece of text to the line. */
void line_add(enum tone tone, const char *format, ...) {
    va_list list;
    va_start(list, format);
    char *text = format_list(format, list);
    va_end(list);
    add_visible(tone, text);
    free(text);
}

static void add_to_record(const char *text) {
    ncr_text_add(&record, "%s%s", record.length ? "  " : "", record.length ? text + strspn(text, " ") : text);
}

/** Print the line: its start at column `indent`, what is wrapped below at column `below`. */
void line_end(unsigned indent, unsigned below) {
    const char *text = ncr_text_get(&line);
    if (in_record && !is_terminal(STDOUT_FILENO)) {
        add_to_record(text);
    } else if (is_terminal(STDOUT_FILENO)) {
        printf("%*s", (int)indent, "");
        wrap(stdout, terminal_width(STDOUT_FILENO), indent, below, text);
    } else {
        printf("%*s%s\n", (int)indent, "", text);
    }
    ncr_text_free(&line);
}

void line_print(unsigned indent, const char *format, ...) {
    va_list list;
    va_start(list, format);
    char *text = format_list(format, list);
    va_end(list);
    add_visible(PLAIN, text);
    line_end(indent, indent);
    free(text);
}

/* The arguments may come from outside, so all of it is made visible. */
static void add_visible_list(struct ncr_text *visible, const char *format, va_list list) {
    char *text = format_list(format, list);
    ncr_text_add_visible(visible, text, strlen(text));
    free(text);
}

/** A line for programs, which is never wrapped: it is copied and parsed. */
void line_print_whole(const char *format, ...) {
    struct ncr_text visible = {0};
    va_list list;
    va_start(list, format);
    add_visible_list(&visible, format, list);
    va_end(list);
    puts(ncr_text_get(&visible));
    ncr_text_free(&visible);
}

/** A label, padded to `width`, and text beside it. */
void pair_print(unsigned width, enum tone tone, const char *label, const char *format, ...) {
    va_list list;
    va_start(list, format);
    char *text = format_list(format, list);
    va_end(list);
    unsigned used = columns_of(label, strlen(label));
    line_add(tone, "%s", label);
    line_add(PLAIN, "%*s%s", width > used ? (int)(width - used) : 1, "", text);
    line_end(2, 2 + width);
    free(text);
}

/** What is printed up to record_end() is one line where standard output is no terminal. */
void record_begin(void) {
    in_record = true;
}

void record_end(void) {
    if (record.length)
        puts(ncr_text_get(&record));
    ncr_text_free(&record);
    in_record = false;
}

/** Is standard output read by a program, not by a person? */
bool output_is_for_programs(void) {
    return !is_terminal(STDOUT_FILENO);
}

/** An empty line between paragraphs, for people. */
void gap_print(void) {
    if (is_terminal(STDOUT_FILENO))
        putchar('\n');
}

/** "nccl-redirect: …" on standard error: one line in logs, where lines of many ranks mix; wrapped for people. */
void complain(const char *format, ...) {
    struct ncr_text visible = {0};
    va_list list;
    va_start(list, format);
    add_visible_list(&visible, format, list);
    va_end(list);
    fputs("nccl-redirect: ", stderr);
    if (is_terminal(STDERR_FILENO))
        wrap(stderr, terminal_width(STDERR_FILENO), 15, 15, ncr_text_get(&visible));
    else
        fprintf(stderr, "%s\n", ncr_text_get(&visible));
    ncr_text_free(&visible);
}

/* ---- the descriptors ---- */

/**
 * Where standard input, output or error is closed, keep its place: what the tool opens (a library, a pipe) must not land
 * there. Reading and writing still fail, and a command that the tool becomes finds them closed, as its caller wanted.
 */
void descriptors_reserve(void) {
    for (int file = 0; file <= STDERR_FILENO; file++)
        if (fcntl(file, F_GETFD) < 0 && open("/", O_PATH | O_CLOEXEC) < 0)
            return;
}

/** The exit code: `status`, unless what was printed could not be written (a full disk, a closed descriptor). */
int output_finish(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    complain("standard output cannot be written: %s; what was printed is incomplete", strerror(errno));
    return EXIT_OUTPUT;
}

/* ---- texts ---- */

/** Where the next line of a text begins; its end, behind the last line, which may lack its \n. */
const char *next_line(const char *at) {
    size_t length = strcspn(at, "\n");
    return at + length + (at[length] == '\n');
}

/** The start of an untrusted string: so many columns of it, made visible. */
const char *start_of(unsigned columns, const char *text) {
    struct ncr_text visible = {0};
    ncr_text_add_visible(&visible, text, strlen(text));
    const char *end = ncr_text_get(&visible);
    for (unsigned count = 0; *end; end++) {
        count += (*end & 0xc0) != 0x80;
        if (count > columns)
            break;
    }
    if (visible.data)
        visible.data[end - visible.data] = '\0';
    return ncr_text_get(&visible);
}

const char *size_text(uint64_t bytes) {
    return bytes < 10 << 20 ? formatted("%llu KiB", (unsigned long long)(bytes + 1023) >> 10)
                            : formatted("%llu MiB", (unsigned long long)(bytes + (1 << 19)) >> 20);
}

const char *version_text(int version) {
    char text[16];
    ncr_version_text(version, text);
    return version ? formatted("%s", text) : "(version unknown)";
}
