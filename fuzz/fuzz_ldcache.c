/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/ld.so.cache, of this host or of a container's image. */
#include "support/fuzz.h"

#include "loader.h"

#include <stdlib.h>
#include <string.h>

struct visits {
    unsigned count;
    const char *stop_at;
};

static bool visit(void *arg, const char *origin, const char *path) {
    struct visits *visits = arg;
    MUST(strcmp(origin, "/etc/ld.so.cache") == 0 && strlen(path) < 1 << 20);
    return ++visits->count == 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct visits visits = {0};
    memory_files_clear();
    memory_file_add("/etc/ld.so.cache", data, size);
    bool stopped = ncr_ldcache("libnccl.so.2", visit, &visits);
    MUST(stopped == (visits.count == 8));
    return 0;
}
