/* SPDX-License-Identifier: Apache-2.0 */
/* What a Python script imports, and the RECORD of an installed distribution. */
#include "cli/imports.c"

#include "support/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct distribution distribution = {.name = "nvidia-nccl-cu12"};
    struct parts parts;
    parts_read(&parts, data, size);
    arena_begin();
    memory_files_clear();
    memory_file_add("/job/train.py", parts.text[0], parts.size[0]);
    memory_file_add("/site/nvidia_nccl_cu12-2.21.5.dist-info/RECORD", parts.text[parts.count - 1],
                    parts.size[parts.count - 1]);
    struct names names = imports_of("/job/train.py");
    for (unsigned i = 0; i < names.count; i++)
        MUST(*names.list[i] &&
             names.list[i][strspn(names.list[i], "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                 "0123456789")] == '\0');
    take_record(&distribution, "/site", "nvidia_nccl_cu12-2.21.5.dist-info");
    MUST(distribution.found);
    for (unsigned i = 0; i < distribution.libraries.count; i++)
        MUST(strncmp(distribution.libraries.list[i], "/site/", 6) == 0);
    arena_end();
    parts_free(&parts);
    return 0;
}
