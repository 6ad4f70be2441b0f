/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where text from outside becomes output: a visible line, and JSON. */
#include "support/fuzz.h"

#include "cli.h"

#include <string.h>

/* Only printable characters come out, and what is printable already comes out as it is. */
static void check_visible(const char *bytes, size_t size) {
    struct ncr_text once = {0}, twice = {0};
    ncr_text_add_visible(&once, bytes, size);
    ncr_text_add_visible(&twice, ncr_text_get(&once), once.length);
    MUST(is_visible(ncr_text_get(&once)));
    MUST(strcmp(ncr_text_get(&once), ncr_text_get(&twice)) == 0);
    MUST(!(is_visible(bytes) && strlen(bytes) == size) || strcmp(ncr_text_get(&once), bytes) == 0);
    ncr_text_free(&once);
    ncr_text_free(&twice);
}

/* Written and read back, a text is the same, but for bytes that are no UTF-8: those became visible. */
static void check_json(const char *text) {
    struct json *object = json_object();
    json_add_text(object, "other", "\\\"");
    json_add_text(object, "text", text);
    const char *written = json_text(object), *back = json_member(written, "text");
    MUST(back && is_visible(written));
    MUST(!is_visible(text) || strcmp(back, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct parts parts;
    arena_begin();
    parts_read(&parts, data, size);
    check_visible(parts.text[0], parts.size[0]);
    check_json(parts.text[0]);
    json_member(parts.text[0], "text");
    start_of(7, parts.text[0]);
    arena_end();
    return 0;
}
