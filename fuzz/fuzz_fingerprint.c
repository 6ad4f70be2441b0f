/* SPDX-License-Identifier: Apache-2.0 */
/* `fingerprint --merge`: lines of many hosts, as launchers hand them over. */
#include "cli/fingerprint_merge.c"

#include "support/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return freopen("/dev/null", "w", stdout) ? 0 : 1;
}

/* What is said of wrong lines; the test of the words is tests/test_cli_usage.c. */
void __wrap_complain(const char *format, ...);
void __wrap_complain(const char *format, ...) {
    (void)format;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct groups groups = {NULL, 0};
    FILE *file = size ? fmemopen((void *)data, size, "r") : NULL;
    if (!file)
        return 0;
    arena_begin();
    read_lines(file, "input", &groups);
    for (unsigned i = 0; i < groups.count; i++) {
        MUST(groups.list[i].hosts.count > 0 && *groups.list[i].print.version);
        show(&groups.list[i], PLAIN);
    }
    if (groups.count) {
        show_result(groups.count);
        show_json(&groups);
    }
    arena_end();
    fclose(file);
    return 0;
}
