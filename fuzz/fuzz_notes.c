/* SPDX-License-Identifier: Apache-2.0 */
/* The notes of a library that is mapped: its build-id. */
#include "loader/build_id.c"

#include "support/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct search search = {0};
    char *notes = malloc(size + 1); /* aligned, as a segment is */
    if (size)
        memcpy(notes, data, size);
    read_notes(&search, notes, size);
    MUST(search.text.length <= 2 * size && is_visible(ncr_text_get(&search.text)));
    ncr_text_free(&search.text);
    free(notes);
    return 0;
}
