/* SPDX-License-Identifier: Apache-2.0 */
/* An ncclUniqueId of another rank, with the tag in it: bytes that came over the network. */
#include "shim/ranks/tag.c"

#include "support/fuzz.h"

static struct ncr_config settings = {.tag = true};
static unsigned refusals;

const struct ncr_config *ncr_settings(void) {
    return &settings;
}

unsigned ncr_library_count(void) {
    return 1;
}

int ncr_refuse(const struct ncr_library *library, const char *format, ...) {
    struct ncr_text text = {0};
    va_list list;
    va_start(list, format);
    ncr_text_add_list(&text, format, list);
    va_end(list);
    MUST(library && text.length > 100 && text.length < 1000);
    ncr_text_free(&text);
    refusals++;
    return NCR_INVALID_USAGE;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    ncr_log_open(NCR_OFF, NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct ncr_library library = {.backend = {.version = 22809,
                                                     .path = "/usr/lib/x86_64-linux-gnu/libnccl.so.2",
                                                     .build_id = "0123456789abcdef0123456789abcdef01234567"}};
    struct ncr_id id = {{0}}, own = {{0}};
    memcpy(id.bytes, data, size < sizeof id ? size : sizeof id);
    unsigned before = refusals;
    int code = ncr_tag_check(&library, &id);
    MUST(code == NCR_SUCCESS || (code == NCR_INVALID_USAGE && refusals == before + 1));
    ncr_tag_id(&library, &own);
    MUST(ncr_tag_check(&library, &own) == NCR_SUCCESS);
    return 0;
}
