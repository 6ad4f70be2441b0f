/* SPDX-License-Identifier: Apache-2.0 */
/* A file that `inspect`, `run` or `doctor` looks at: programs, libraries, scripts, and what they are linked with. */
#include "support/fuzz.h"

#include "cli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct reached reached;
    memory_files_clear();
    memory_file_add("/job/program", data, size);
    memory_file_add("*/libneeded.so", data, size); /* a library that it is linked with may be as bad */
    arena_begin();
    reach_of_file("/job/program", true, &reached);
    MUST(reached.reach >= REACH_NONE && reached.reach <= REACH_SCRIPT);
    MUST(reached.how && *reached.how);
    arena_end();
    return 0;
}
