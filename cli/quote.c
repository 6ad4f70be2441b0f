/* SPDX-License-Identifier: Apache-2.0 */
/* How values are written for others to read: words of a shell, strings of YAML; and what cannot be written safely. */
#include "cli.h"

#include <string.h>

static bool is_plain(const char *text) {
    return *text && !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+%@")];
}

/** One word for a POSIX shell; what needs no quotes gets none. */
const char *shell_word(const char *text) {
    struct ncr_text result = {0};
    if (is_plain(text))
        return text;
    ncr_text_add(&result, "'");
    for (; *text; text++)
        ncr_text_add(&result, *text == '\'' ? "'\\''" : "%c", *text);
    ncr_text_add(&result, "'");
    return ncr_text_get(&result);
}

/* The length of a character that controls a terminal: C0 but newline and tab, DEL, C1 as UTF-8 or as a byte of its own. */
static size_t control_length(const char *text) {
    unsigned char c = (unsigned char)*text;
    if (ncr_text_printable(text, strlen(text)) || c == '\n' || c == '\t')
        return 0;
    if (c == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0)
        return 2;
    return c < 0xa0;
}

/** Does it contain such a character? Other bytes that are not UTF-8, as in paths in Latin-1, do no harm. */
bool has_controls(const char *text) {
    while (*text && !control_length(text)) {
        size_t length = ncr_text_printable(text, strlen(text));
        text += length ? length : 1;
    }
    return *text;
}

bool is_utf8(const char *text) {
    while (*text) {
        size_t length = ncr_text_printable(text, strlen(text));
        if (!length)
            length = (unsigned char)*text < 0x80 ? 1 : control_length(text) == 2 ? 2 : 0;
        if (!length)
            return false;
        text += length;
    }
    return true;
}

/**
 * A shell word whose text on a terminal is harmless: printf makes the control characters when the shell reads it. The
 * substitution takes newlines off the end, so a last character stands guard there, and ${NAME%.} takes that off again.
 */
const char *shell_printf(const char *text) {
    struct ncr_text result = {0};
    ncr_text_add(&result, "\"$(printf '");
    for (; *text; text++)
        if (strchr("'\\%", *text) || (unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
            ncr_text_add(&result, *text == '%' ? "%%%%" : "\\%03o", (unsigned char)*text);
        else
            ncr_text_add(&result, "%c", *text);
    ncr_text_add(&result, ".')\"");
    return ncr_text_get(&result);
}

/* The code point of a character of valid UTF-8, and its length. */
static size_t decode(const char *text, unsigned *code) {
    unsigned char c = (unsigned char)*text;
    size_t length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    *code = length == 1 ? c : c & (0x7fu >> length);
    for (size_t i = 1; i < length; i++)
        *code = *code << 6 | ((unsigned char)text[i] & 0x3f);
    return length;
}

/** A string of YAML in double quotes, of UTF-8 text; all but printable ASCII is escaped, as YAML does it and JSON does not. */
const char *yaml_string(const char *text) {
    struct ncr_text result = {0};
    ncr_text_add(&result, "\"");
    while (*text) {
        unsigned code;
        text += decode(text, &code);
        if (code == '"' || code == '\\')
            ncr_text_add(&result, "\\%c", (int)code);
        else if (code >= ' ' && code < 0x7f)
            ncr_text_add(&result, "%c", (int)code);
        else
            ncr_text_add(&result, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
    }
    ncr_text_add(&result, "\"");
    return ncr_text_get(&result);
}
