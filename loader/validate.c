/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this file be opened as the backend? Validated from the file alone, without running its code. Dependencies and
 * symbol versions are left to the dynamic loader, which refuses a file before any of its code has run.
 */
#include "loader.h"

#include <elf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Exported by every build of the shim, so that a copy under any name is known. */
static const char shim_mark[] = "nccl_redirect_version";

struct exports {
    bool shim;
    unsigned core;    /* core functions found */
    unsigned known;   /* functions of the table, without aliases */
    unsigned unknown; /* nccl* names that the table lacks, without aliases */
    bool found[NCR_ROWS];
};

static void count_export(struct exports *seen, const char *name) {
    if (*name != 'n' && *name != 'm') /* most names: pncclX, C++ */
        return;
    if (strcmp(name, shim_mark) == 0)
        seen->shim = true;
    if (!ncr_begins(name, "nccl") && !ncr_begins(name, "mscc"))
        return;
    int row = ncr_row(name);
    if (row < 0) {
        seen->unknown += name[4] >= 'A' && name[4] <= 'Z';
        return;
    }
    seen->found[row] = true;
    seen->known++;
    seen->core += ncr_functions[row].since <= NCR_CORE_SINCE;
}

static char *core_problem(const struct exports *seen) {
    const char *first = NULL;
    unsigned missing = 0;
    for (unsigned i = 0; i < NCR_ROWS; i++)
        if (ncr_functions[i].since <= NCR_CORE_SINCE && !seen->found[i]) {
            missing++;
            first = first ? first : ncr_functions[i].name;
        }
    if (missing == 0)
        return NULL;
    if (seen->core == 0)
        return ncr_copy("is not an NCCL (it exports no NCCL function)");
    if (missing == 1)
        return ncr_path("lacks %s, which every NCCL has", first);
    return ncr_path("lacks %s and %u more functions that every NCCL has", first, missing - 1);
}

/* A wrapper of NCCL that is linked with it. */
static bool needs_nccl(const struct ncr_elf *elf) {
    uint64_t name;
    for (unsigned nth = 0; ncr_elf_dynamic(elf, DT_NEEDED, nth, &name); nth++)
        if (name < elf->strings_size && ncr_is_nccl_name(elf->strings + name))
            return true;
    return false;
}

static char *export_problem(const struct ncr_elf *elf, struct ncr_validation *validation) {
    struct exports seen = {.shim = false};
    size_t at = 0;
    for (const char *name; (name = ncr_elf_next_export(elf, &at));)
        count_export(&seen, name);
    validation->shim = seen.shim;
    if (!seen.shim && seen.core && needs_nccl(elf))
        return ncr_copy(
            "is itself linked with libnccl.so.2, which is nccl-redirect in this process: its calls would return "
            "to it without end. A wrapper must open the NCCL behind it with dlopen");
    char *problem = seen.shim ? ncr_copy("is nccl-redirect itself, not an NCCL") : core_problem(&seen);
    for (unsigned i = 0; i < NCR_ROWS; i++) {
        validation->rccl |= ncr_functions[i].rccl && seen.found[i];
        validation->lacks += !ncr_functions[i].rccl && !seen.found[i];
    }
    validation->unknown = seen.unknown;
    return problem;
}

static char *version_problem(struct ncr_elf *elf, const struct ncr_config *config, struct ncr_validation *validation) {
    if (!config->require_text)
        return NULL;
    validation->file_version = ncr_elf_nccl_version(elf, NULL);
    if (validation->file_version == 0)
        return ncr_path("has no version string%s, so NCCL_REDIRECT_REQUIRE=%s cannot be checked",
                        elf->partly_searched ? " in the first 256 MiB of its constant data" : "", config->require_text);
    if (validation->file_version >= config->require.at_least && validation->file_version < config->require.below)
        return NULL;
    char version[16];
    ncr_version_text(validation->file_version, version);
    return ncr_path("is NCCL %s, outside NCCL_REDIRECT_REQUIRE=%s", version, config->require_text);
}

/** Validate one file. `validation` is filled in as far as the file was read; free it with ncr_validation_free(). */
void ncr_validate(const char *path, const struct ncr_config *config, struct ncr_validation *validation) {
    *validation = (struct ncr_validation){0};
    unsigned failures = ncr_passing_count();
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    validation->missing = elf.missing;
    validation->device = elf.status.st_dev;
    validation->inode = elf.status.st_ino;
    validation->size = elf.status.st_size;
    if (ncr_elf_load_symbols(&elf)) {
        validation->refusal = export_problem(&elf, validation);
        if (!validation->refusal)
            validation->refusal = version_problem(&elf, config, validation);
    } else {
        validation->refusal = elf.refusal;
        elf.refusal = NULL;
    }
    if (!validation->refusal && elf.refusal)
        validation->refusal = ncr_copy(elf.refusal);
    ncr_elf_close(&elf);
    if (ncr_passing_count() != failures) { /* what was read is a part of it */
        free(validation->refusal);
        validation->refusal = ncr_path("cannot be read (%s)", strerror(ncr_passing_noted()));
    }
}

static bool seen_before(struct ncr_seen *seen, const struct ncr_validation *validation) {
    for (unsigned i = 0; i < seen->count; i++)
        if (seen->files[i].inode == validation->inode && seen->files[i].device == validation->device)
            return true;
    if (seen->count < NCR_MOST_SEEN && validation->inode) {
        seen->files[seen->count].device = validation->device;
        seen->files[seen->count++].inode = validation->inode;
    }
    return false;
}

/* Anybody who can write to the current folder (a shared one, /tmp) could have put a library there. */
static const char in_current_folder[] = "is a relative path: nothing is opened from the current folder";

/** The outcome for one candidate of a search. `seen` starts as zero; free `validation` in every case. */
enum ncr_outcome ncr_consider(struct ncr_seen *seen, const struct ncr_candidate *candidate,
                              const struct ncr_config *config, struct ncr_validation *validation) {
    bool relative = *candidate->path != '/';
    if (candidate->refusal || relative) {
        *validation = (struct ncr_validation){
            .refusal = ncr_copy(candidate->refusal ? candidate->refusal : in_current_folder),
            .missing = !candidate->refusal && !ncr_file_exists(candidate->path),
        };
        return validation->missing ? NCR_ABSENT : NCR_REFUSED;
    }
    ncr_validate(candidate->path, config, validation);
    if (validation->missing)
        return NCR_ABSENT;
    if (seen_before(seen, validation))
        return NCR_SEEN;
    return validation->refusal ? NCR_REFUSED : NCR_FIT;
}

void ncr_validation_free(struct ncr_validation *validation) {
    free(validation->refusal);
    validation->refusal = NULL;
}
