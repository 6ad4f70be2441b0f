/*
 * A string that grows. Used for messages, which must not be cut at a fixed length: paths are as long as users make
 * them.
 */
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>

/** Append formatted text. On lack of memory the text stays as it was. */
void ncr_text_add_list(struct ncr_text *text, const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int more = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (more < 0)
        return;

    size_t needed = text->length + (size_t)more + 1;
    if (needed > text->room) {
        size_t room = needed * 2;
        char *data = realloc(text->data, room);
        if (!data)
            return;
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

void ncr_text_free(struct ncr_text *text) {
    free(text->data);
    *text = (struct ncr_text){0};
}

const char *ncr_text_get(const struct ncr_text *text) {
    return text->data ? text->data : "";
}
