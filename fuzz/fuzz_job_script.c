/* SPDX-License-Identifier: Apache-2.0 */
/* A job script, in which the program is looked for without running it; and the header of an NCCL. */
#include "support/fuzz.h"

#include "cli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct parts parts;
    struct shell_text script;
    arena_begin();
    parts_read(&parts, data, size);
    shell_text_read(&script, parts.text[0]);
    for (unsigned i = 0; i < script.count; i++)
        MUST(script.commands[i] && script.commands[i][0]);
    memory_files_clear();
    memory_file_add("/usr/include/nccl.h", data, size);
    MUST(header_version("/usr/include") >= 0);
    arena_end();
    return 0;
}
