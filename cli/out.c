/* How the tool's answers look: text of at most WIDTH columns, colour for people only, JSON for programs. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
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

const char *make(const char *format, ...) {
    va_list list;
    va_start(list, format);
    const char *text = format_list(format, list);
    va_end(list);
    return text;
}

void *grow(void *list, size_t count, size_t size) {
    if (count & (count - 1)) /* room doubles at each power of two */
        return list;
    void *more = realloc(list, (count ? 2 * count : 1) * size);
    if (!more)
        out_of_memory();
    return more;
}

static bool colour(void) {
    static int known = -1;
    if (known < 0) {
        const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
        known = isatty(STDOUT_FILENO) && !(no && *no) && !(terminal && strcmp(terminal, "dumb") == 0);
    }
    return known;
}

const char *tinted(enum tone tone, const char *text) {
    static const char *const codes[] = {"0", "32", "33", "31;1", "2", "1"};
    return tone != PLAIN && colour() ? make("\033[%sm%s\033[0m", codes[tone], text) : text;
}

/* Columns of a UTF-8 text, colour codes not counted. */
static unsigned columns(const char *text, size_t length) {
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
 * Write words from column `at` on; a line that would pass WIDTH goes on below, at `indent`. A word is never cut: a path
 * that was cut could not be copied.
 */
static void wrap_to(FILE *to, unsigned at, unsigned indent, const char *text) {
    bool first = true;
    while (*text) {
        size_t length = strcspn(text, " \n");
        unsigned width = columns(text, length);
        if (!first && at + 1 + width > WIDTH) {
            fprintf(to, "\n%*s", (int)indent, "");
            at = indent;
        } else if (!first) {
            putc(' ', to);
            at++;
        }
        fwrite(text, 1, length, to);
        at += width;
        first = false;
        text += length;
        if (*text == '\n') {
            fprintf(to, "\n%*s", (int)indent, "");
            at = indent;
            first = true;
            text++;
        }
        text += strspn(text, " ");
    }
    putc('\n', to);
}

static void wrap(unsigned at, unsigned indent, const char *text) {
    wrap_to(stdout, at, indent, text);
}

void put(unsigned indent, const char *format, ...) {
    va_list list;
    va_start(list, format);
    printf("%*s", (int)indent, "");
    wrap(indent, indent, format_list(format, list));
    va_end(list);
}

void put_pair(unsigned width, const char *label, const char *format, ...) {
    va_list list;
    va_start(list, format);
    unsigned used = columns(label, strlen(label)), pad = width > used ? width - used : 1;
    printf("  %s%*s", label, (int)pad, "");
    wrap(2 + used + pad, 2 + width, format_list(format, list));
    va_end(list);
}

void put_json(cJSON *json) {
    char *text = cJSON_Print(json);
    if (!text)
        out_of_memory();
    puts(text);
}

void json_text(cJSON *object, const char *key, const char *value) {
    if (value)
        cJSON_AddStringToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

cJSON *json_names(const struct names *names) {
    return names->count ? cJSON_CreateStringArray(names->list, (int)names->count) : cJSON_CreateArray();
}

cJSON *json_lines(const char *lines) {
    cJSON *list = cJSON_CreateArray();
    for (const char *line = lines; *line; line += strcspn(line, "\n") + 1)
        cJSON_AddItemToArray(list, cJSON_CreateString(make("%.*s", (int)strcspn(line, "\n"), line)));
    return list;
}

void complain(const char *format, ...) {
    va_list list;
    va_start(list, format);
    const char *text = format_list(format, list);
    /* One line in logs, where lines of many ranks mix; wrapped for people. */
    fputs("nccl-redirect: ", stderr);
    if (isatty(STDERR_FILENO))
        wrap_to(stderr, 15, 15, text);
    else
        fprintf(stderr, "%s\n", text);
    va_end(list);
}

const char *size_text(uint64_t bytes) {
    return bytes < 10 << 20 ? make("%llu KiB", (unsigned long long)(bytes + 1023) >> 10)
                            : make("%llu MiB", (unsigned long long)(bytes + (1 << 19)) >> 20);
}

const char *version_text(int version) {
    char text[16];
    ncr_version_text(version, text);
    return version ? make("%s", text) : "(version unknown)";
}
