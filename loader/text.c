/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A string that grows. Used for messages, which must not be cut at a fixed length: paths are as long as users make
 * them.
 */
#include "every_process.h"
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Does the text begin with this prefix? */
NCR_EVERY_PROCESS bool ncr_begins(const char *text, const char *prefix) {
    while (*prefix && *text == *prefix)
        text++, prefix++;
    return !*prefix;
}

/*
 * A message with a piece missing in its middle may say the opposite. So if a message cannot grow, all of it is replaced
 * by "out of memory".
 */
static void lose(struct ncr_text *text) {
    ncr_memory_note();
    free(text->data);
    *text = (struct ncr_text){.lost = true};
}

/** Append formatted text. On lack of memory the text is lost, what is appended later too. */
void ncr_text_add_list(struct ncr_text *text, const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int more = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (more < 0 || text->lost)
        return;

    size_t needed = text->length + (size_t)more + 1;
    if (needed > text->room) {
        /*
         * Few sizes, and not realloc, which never takes a block that the thread has just freed: a loop of messages is to
         * use the same blocks again.
         */
        size_t room = 256;
        while (room < needed)
            room *= 2;
        char *data = malloc(room);
        if (!data) {
            lose(text);
            return;
        }
        if (text->length > 0)
            memcpy(data, text->data, text->length);
        free(text->data);
        text->data = data;
        text->room = room;
    }
    vsnprintf(text->data + text->length, text->room - text->length, format, list);
    text->length += (size_t)more;
}

void ncr_text_add(struct ncr_text *text, const char *format, ...) {
    va_list list;
    va_start(list, format);
    ncr_text_add_list(text, format, list);
    va_end(list);
}

/**
 * The length of the printable UTF-8 character at the start of `bytes`, or 0: control characters (C0, DEL, and C1, which
 * terminals obey as they obey ESC) and bytes that are not well-formed UTF-8 (Unicode 15, table 3-7) have none.
 */
size_t ncr_text_printable(const char *text, size_t length) {
    const unsigned char *bytes = (const unsigned char *)text;
    static const struct {
        unsigned char first, last, second_first, second_last, size;
    } forms[] = {
        {0x20, 0x7e, 0, 0, 1},       {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (bytes[0] < forms[i].first || bytes[0] > forms[i].last)
            continue;
        size_t size = forms[i].size;
        if (size > length || (size > 1 && (bytes[1] < forms[i].second_first || bytes[1] > forms[i].second_last)))
            return 0;
        for (size_t j = 2; j < size; j++)
            if (bytes[j] < 0x80 || bytes[j] > 0xbf)
                return 0;
        return size;
    }
    return 0;
}

/**
 * Append text that came from outside (a variable, a file name, a host name, another process) so that it is one line and
 * cannot control a terminal: newline and tab become \n and \t, every other byte that is not part of a printable UTF-8
 * character becomes \xNN. A backslash stays as it is. `length` is in bytes; NUL bytes may be among them.
 */
void ncr_text_add_visible(struct ncr_text *text, const char *bytes, size_t length) {
    const char *at = bytes;
    for (size_t size; length > 0; at += size, length -= size) {
        size_t run = 0;
        while (run < length && (size = ncr_text_printable(at + run, length - run)) > 0)
            run += size;
        if (run > 0)
            ncr_text_add(text, "%.*s", (int)run, at);
        else if (*at == '\n' || *at == '\t')
            ncr_text_add(text, "\\%c", *at == '\n' ? 'n' : 't');
        else
            ncr_text_add(text, "\\x%02x", (unsigned char)*at);
        size = run > 0 ? run : 1;
    }
}

void ncr_text_free(struct ncr_text *text) {
    free(text->data);
    *text = (struct ncr_text){0};
}

const char *ncr_text_get(const struct ncr_text *text) {
    return text->lost ? "out of memory" : text->data ? text->data : "";
}
