/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void fuzz_fail(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

/* Written apart from the product's own table of UTF-8, which it judges. */
bool is_visible(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        unsigned more = *at < 0x80 ? 0 : *at >= 0xc2 && *at < 0xe0 ? 1 : (*at & 0xf0) == 0xe0 ? 2 : 3;
        uint32_t code = more ? *at & (0x3fu >> more) : *at;
        if (*at >= 0x80 && (*at < 0xc2 || *at > 0xf4))
            return false;
        for (unsigned i = 1; i <= more; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (at[i] & 0x3f);
        }
        bool too_long = (more == 2 && code < 0x800) || (more == 3 && code < 0x10000);
        if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff ||
            too_long)
            return false;
        at += 1 + more;
    }
    return true;
}

static void add_part(struct parts *parts, const char *start, size_t size) {
    char *copy = malloc(size + 1);
    memcpy(copy, start, size);
    copy[size] = '\0';
    parts->text[parts->count] = copy;
    parts->size[parts->count++] = size;
}

void parts_read(struct parts *parts, const uint8_t *data, size_t size) {
    static const char border[] = "\n====\n";
    const char *at = (const char *)data, *end = at + size, *found;
    *parts = (struct parts){.count = 0};
    while (parts->count + 1 < MOST_PARTS && at < end &&
           (found = memmem(at, (size_t)(end - at), border, sizeof border - 1))) {
        add_part(parts, at, (size_t)(found + 1 - at));
        at = found + sizeof border - 1;
    }
    add_part(parts, size ? at : "", (size_t)(end - at));
}

void parts_free(struct parts *parts) {
    for (unsigned i = 0; i < parts->count; i++)
        free(parts->text[i]);
}

char *part_line(char **rest) {
    char *line = *rest, *end = line ? strchr(line, '\n') : NULL;
    if (!line || !*line)
        return NULL;
    if (end)
        *end = '\0';
    *rest = end ? end + 1 : NULL;
    return line;
}
