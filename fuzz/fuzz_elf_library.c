/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a candidate: what a search reads of it before the dynamic loader maps it. */
#include "support/fuzz.h"

#include "loader.h"

#include <limits.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

static const char path[] = "/opt/libnccl.so.2";

static void validate(bool version_matters) {
    struct ncr_config config = {.require = {20000, INT_MAX}, .require_text = version_matters ? ">=2.0" : NULL};
    struct ncr_validation validation;
    ncr_validate(path, &config, &validation);
    MUST(!validation.missing);
    MUST(!validation.refusal || (*validation.refusal && is_visible(validation.refusal)));
    MUST(validation.refusal || !version_matters || validation.file_version >= 20000);
    MUST(!validation.shim || validation.refusal);
    ncr_validation_free(&validation);
}

static void read_names(void) {
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    if (ncr_elf_load_dynamic(&elf))
        for (unsigned i = 0; i < 64; i++) {
            char *needed = ncr_elf_dynamic_name(&elf, DT_NEEDED, i),
                 *folder = ncr_elf_dynamic_name(&elf, DT_RUNPATH, i);
            bool last = !needed && !folder;
            free(needed);
            free(folder);
            if (last)
                break;
        }
    size_t at = 0, length = 0;
    if (ncr_elf_load_symbols(&elf))
        for (const char *name; (name = ncr_elf_next_export(&elf, &at));)
            length += strlen(name);
    MUST(length <= (uint64_t)elf.status.st_size * (elf.symbol_count + 1));
    char text[NCR_VERSION_TEXT] = "";
    int version = ncr_elf_nccl_version(&elf, text);
    MUST(version >= 0 && (version == 0 || *text) && is_visible(text));
    ncr_elf_close(&elf);
    free(ncr_elf_soname(path));
}

static void read_links(void) {
    struct ncr_links links;
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    ncr_elf_links(&elf, &links);
    MUST(!links.nccl || ncr_is_nccl_name(links.nccl));
    MUST(!links.rpath || !links.runpath);
    ncr_links_free(&links);
    ncr_elf_close(&elf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    memory_files_clear();
    memory_file_add(path, data, size);
    validate(false);
    validate(true);
    read_names();
    read_links();
    return 0;
}
