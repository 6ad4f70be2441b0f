/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON, written and (two members of an object) read. A library would be better, but no distribution ships one that can
 * be linked statically (Debian's libcjson-dev has the shared library only), and the tool must run on a host or in an
 * image that has nothing but the C library. So here is as much of RFC 8259 as the tool needs.
 *
 * A value is kept as its JSON text: an object is what is between its braces. What comes from outside (a path, a command
 * line, another host's name) need not be UTF-8, but JSON must be: bytes that are not become the visible string \xNN.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct json {
    char open, close; /* braces or brackets */
    struct ncr_text body;
};

static struct json *new_container(char open, char close) {
    struct json *json = list_grow(NULL, 0, sizeof *json);
    *json = (struct json){.open = open, .close = close};
    return json;
}

struct json *json_object(void) {
    return new_container('{', '}');
}

struct json *json_list(void) {
    return new_container('[', ']');
}

/* Is there a character at `at` that is valid UTF-8, but that a terminal would obey: U+0080 to U+009F? */
static bool starts_c1(const char *at) {
    return (unsigned char)at[0] == 0xc2 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0;
}

static bool starts_special(const char *at) {
    unsigned char c = (unsigned char)*at;
    return c < 0x20 || c == '"' || c == '\\' || c == 0x7f || starts_c1(at);
}

static void add_special(struct ncr_text *text, const char *at) {
    unsigned char c = (unsigned char)*at;
    if (c == '"' || c == '\\')
        ncr_text_add(text, "\\%c", c);
    else if (c == '\n' || c == '\t')
        ncr_text_add(text, c == '\n' ? "\\n" : "\\t");
    else
        ncr_text_add(text, "\\u%04x", starts_c1(at) ? (unsigned char)at[1] : c);
}

/* What stands between special characters is printable, or no UTF-8; the latter gets a backslash, which is special here. */
static void add_run(struct ncr_text *text, const char *start, size_t length) {
    struct ncr_text visible = {0};
    ncr_text_add_visible(&visible, start, length);
    for (const char *c = ncr_text_get(&visible); *c; c++)
        ncr_text_add(text, *c == '\\' ? "\\%c" : "%c", *c);
    ncr_text_free(&visible);
}

/** A string of JSON with its quotes; a string of YAML and of Python, too. Only ASCII controls leave no trace as bytes. */
const char *json_quoted(const char *string) {
    struct ncr_text text = {0};
    ncr_text_add(&text, "\"");
    while (*string) {
        size_t run = 0;
        while (string[run] && !starts_special(string + run))
            run++;
        if (run)
            add_run(&text, string, run);
        string += run;
        if (!*string)
            break;
        add_special(&text, string);
        string += starts_c1(string) ? 2 : 1;
    }
    ncr_text_add(&text, "\"");
    return ncr_text_get(&text);
}

/** The value as text, in one line. */
const char *json_text(const struct json *json) {
    return formatted("%c%s%c", json->open, ncr_text_get(&json->body), json->close);
}

/* `key` is NULL in a list. */
static void add_value(struct json *to, const char *key, const char *value) {
    const char *comma = to->body.length ? "," : "";
    if (key)
        ncr_text_add(&to->body, "%s\"%s\":%s", comma, key, value);
    else
        ncr_text_add(&to->body, "%s%s", comma, value);
}

void json_add(struct json *to, const char *key, const struct json *value) {
    add_value(to, key, value ? json_text(value) : "null");
}

/** A string, or null where it is NULL. */
void json_add_text(struct json *to, const char *key, const char *value) {
    add_value(to, key, value ? json_quoted(value) : "null");
}

void json_add_number(struct json *to, const char *key, long long value) {
    add_value(to, key, formatted("%lld", value));
}

void json_add_bool(struct json *to, const char *key, bool value) {
    add_value(to, key, value ? "true" : "false");
}

void json_add_names(struct json *to, const char *key, const struct names *names) {
    struct json *list = json_list();
    for (unsigned i = 0; i < names->count; i++)
        json_add_text(list, NULL, names->list[i]);
    json_add(to, key, list);
}

/** A list of lines; the last one may lack its \n. */
void json_add_lines(struct json *to, const char *key, const char *lines) {
    struct json *list = json_list();
    for (const char *line = lines; *line; line = next_line(line))
        json_add_text(list, NULL, formatted("%.*s", (int)strcspn(line, "\n"), line));
    json_add(to, key, list);
}

/* ---- indentation ---- */

static void new_line(unsigned depth) {
    printf("\n%*s", (int)(2 * depth), "");
}

/** Print it, indented by two blanks for each level. */
void json_print(const struct json *json) {
    const char *text = json_text(json);
    bool inside = false; /* a string */
    unsigned depth = 0;
    for (const char *c = text; *c; c++) {
        bool closes = !inside && (*c == '}' || *c == ']'), opens = !inside && (*c == '{' || *c == '[');
        if (closes && c[-1] != '{' && c[-1] != '[')
            new_line(depth - 1);
        depth -= closes;
        putchar(*c);
        depth += opens;
        if (inside && *c == '\\') {
            putchar(*++c);
        } else if (*c == '"') {
            inside = !inside;
        } else if (!inside && *c == ':') {
            putchar(' ');
        } else if ((opens && c[1] != '}' && c[1] != ']') || (!inside && *c == ',')) {
            new_line(depth);
        }
    }
    putchar('\n');
}

/* ---- reading ---- */

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* The end of the string that starts at `at`, or NULL if it has none. */
static const char *skip_string(const char *at) {
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : NULL;
}

/* The end of the value that starts at `at`. */
static const char *skip_value(const char *at) {
    unsigned depth = 0;
    for (at = skip_blanks(at); *at; at++) {
        if (*at == '"') {
            at = skip_string(at);
            if (!at)
                return NULL;
            at--;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0)
                return at;
            depth--;
        } else if (*at == ',' && depth == 0) {
            return at;
        }
    }
    return NULL;
}

static void add_code_point(struct ncr_text *text, unsigned code) {
    if (code < 0x80)
        ncr_text_add(text, "%c", (int)code);
    else if (code < 0x800)
        ncr_text_add(text, "%c%c", (int)(0xc0 | code >> 6), (int)(0x80 | (code & 0x3f)));
    else if (code < 0x10000)
        ncr_text_add(text, "%c%c%c", (int)(0xe0 | code >> 12), (int)(0x80 | (code >> 6 & 0x3f)),
                     (int)(0x80 | (code & 0x3f)));
    else
        ncr_text_add(text, "%c%c%c%c", (int)(0xf0 | code >> 18), (int)(0x80 | (code >> 12 & 0x3f)),
                     (int)(0x80 | (code >> 6 & 0x3f)), (int)(0x80 | (code & 0x3f)));
}

/* The number of "uXXXX" at `at`, or -1. */
static int read_hex(const char *at) {
    int code = 0;
    if (*at != 'u')
        return -1;
    for (int i = 1; i <= 4; i++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *digit = at[i] ? strchr(digits, at[i]) : NULL;
        if (!digit)
            return -1;
        code = code * 16 + (int)(digit - digits < 16 ? digit - digits : digit - digits - 6);
    }
    return code;
}

/* uXXXX at `at`, with the second half of a pair; returns the last character of it. NUL and lone halves become "?". */
static const char *add_escaped(struct ncr_text *text, const char *at) {
    int code = read_hex(at), low;
    if (code < 0)
        return at;
    at += 4;
    if (code >= 0xd800 && code < 0xdc00 && at[1] == '\\' && (low = read_hex(at + 2)) >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
    }
    add_code_point(text, code == 0 || (code >= 0xd800 && code < 0xe000) ? '?' : (unsigned)code);
    return at;
}

static const char *read_string(const char *at) {
    struct ncr_text text = {0};
    const char *end = skip_string(at);
    for (at++; end && at < end - 1; at++) {
        static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
        const char *letter;
        if (*at != '\\')
            ncr_text_add(&text, "%c", *at);
        else if (*++at == 'u')
            at = add_escaped(&text, at);
        else
            ncr_text_add(&text, "%c", (letter = strchr(letters, *at)) ? bytes[letter - letters] : *at);
    }
    return end ? ncr_text_get(&text) : NULL;
}

/**
 * The string that a member of an object has, as a fresh string; NULL if there is no such member, or it is not a string.
 */
const char *json_member(const char *object, const char *key) {
    const char *at = skip_blanks(object);
    if (*at != '{')
        return NULL;
    do {
        at = skip_blanks(at + 1);
        const char *name = *at == '"' ? read_string(at) : NULL;
        at = name ? skip_string(at) : NULL;
        at = at ? skip_blanks(at) : NULL;
        if (!at || *at != ':')
            return NULL;
        const char *value = skip_blanks(at + 1);
        if (strcmp(name, key) == 0)
            return *value == '"' ? read_string(value) : NULL;
        at = skip_value(value);
    } while (at && *at == ',');
    return NULL;
}
