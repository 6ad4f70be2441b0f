/* SPDX-License-Identifier: Apache-2.0 */
/* The records of packages: a wheel's RECORD, dpkg's list and status, conda's JSON. */
#include "cli/owner.c"

#include "support/fuzz.h"

static void check(const struct owners *owners) {
    for (unsigned i = 0; i < owners->count; i++)
        MUST(owners->list[i].name && owners->list[i].version && *owners->list[i].version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct owners owners = {NULL, 0};
    struct parts parts;
    parts_read(&parts, data, size);
    memory_files_clear();
    memory_file_add("/site/nccl-2.1.dist-info/RECORD", parts.text[0], parts.size[0]);
    memory_file_add("/info/libnccl2.list", parts.text[0], parts.size[0]);
    memory_file_add("/meta/nccl.json", parts.text[0], parts.size[0]);
    if (parts.count > 1)
        memory_file_add("/var/lib/dpkg/status", parts.text[1], parts.size[1]);
    arena_begin();
    read_wheel("/site", "nccl-2.1.dist-info", "nvidia/nccl/lib/libnccl.so.2", 4711, &owners);
    read_debian("/info", "libnccl2.list", "/usr/lib/libnccl.so.2", 4711, &owners);
    read_conda("/meta", "nccl.json", "lib/libnccl.so.2", 4711, &owners);
    check(&owners);
    owner_text(&owners);
    arena_end();
    dpkg_status = NULL;
    parts_free(&parts);
    return 0;
}
