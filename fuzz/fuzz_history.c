/* SPDX-License-Identifier: Apache-2.0 */
/* Records of what was active, in a folder where every user of the cluster may write. */
#include "cli/history.c"

#include "support/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return freopen("/dev/null", "w", stdout) ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct parts parts;
    struct records records = {.count = 0};
    arena_begin();
    parts_read(&parts, data, size);
    add_lines(&records, parts.text[0]);
    for (unsigned i = 0; i < records.count; i++)
        MUST(is_visible(json_text(record_json(&records.list[i]))));
    print_records(&records, false);
    arena_end();
    return 0;
}
