/*
 * May this file be opened as the backend? Judged from the file alone, without running its code. What the dynamic loader
 * judges better (dependencies, symbol versions) is left to it: it refuses before any of the library's code has run.
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
    if (strncmp(name, "nccl", 4) != 0 && strncmp(name, "mscc", 4) != 0)
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

static char *export_problem(const struct ncr_elf *elf, struct ncr_verdict *verdict) {
    struct exports seen = {.shim = false};
    size_t at = 0;
    for (const char *name; (name = ncr_elf_next_export(elf, &at));)
        count_export(&seen, name);
    verdict->shim = seen.shim;
    if (!seen.shim && seen.core && needs_nccl(elf))
        return ncr_copy(
            "is itself linked with libnccl.so.2, which is nccl-redirect in this process: its calls would come "
            "back to it without end. It can open the NCCL behind it by dlopen");
    char *problem = seen.shim ? ncr_copy("is nccl-redirect itself, not an NCCL") : core_problem(&seen);
    for (unsigned i = 0; i < NCR_ROWS; i++) {
        verdict->rccl |= ncr_functions[i].rccl && seen.found[i];
        verdict->lacks += !ncr_functions[i].rccl && !seen.found[i];
    }
    verdict->unknown = seen.unknown;
    return problem;
}

static char *version_problem(struct ncr_elf *elf, const struct ncr_config *config, struct ncr_verdict *verdict) {
    if (!config->require_text)
        return NULL;
    verdict->file_version = ncr_elf_nccl_version(elf, NULL);
    if (verdict->file_version == 0)
        return ncr_path("does not say its version%s, NCCL_REDIRECT_REQUIRE=%s cannot be checked",
                        elf->partly_searched ? " in the first 256 MiB of its constant data" : "", config->require_text);
    if (verdict->file_version >= config->require.at_least && verdict->file_version < config->require.below)
        return NULL;
    char version[16];
    ncr_version_text(verdict->file_version, version);
    return ncr_path("is NCCL %s, outside NCCL_REDIRECT_REQUIRE=%s", version, config->require_text);
}

/** Judge one file. `verdict` is filled as far as it was read; free it with ncr_verdict_free(). */
void ncr_judge(const char *path, const struct ncr_config *config, struct ncr_verdict *verdict) {
    *verdict = (struct ncr_verdict){0};
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    verdict->missing = elf.missing;
    verdict->device = elf.status.st_dev;
    verdict->inode = elf.status.st_ino;
    if (ncr_elf_load_symbols(&elf)) {
        verdict->refusal = export_problem(&elf, verdict);
        if (!verdict->refusal)
            verdict->refusal = version_problem(&elf, config, verdict);
    } else {
        verdict->refusal = elf.refusal;
        elf.refusal = NULL;
    }
    if (!verdict->refusal && elf.refusal)
        verdict->refusal = ncr_copy(elf.refusal);
    ncr_elf_close(&elf);
}

static bool seen_before(struct ncr_seen *seen, const struct ncr_verdict *verdict) {
    for (unsigned i = 0; i < seen->count; i++)
        if (seen->files[i].inode == verdict->inode && seen->files[i].device == verdict->device)
            return true;
    if (seen->count < NCR_MOST_SEEN && verdict->inode) {
        seen->files[seen->count].device = verdict->device;
        seen->files[seen->count++].inode = verdict->inode;
    }
    return false;
}

/* Whoever can write in the current folder (a shared one, /tmp) could have put a library of his own there. */
static const char in_current_folder[] = "is a relative path: nothing is opened from the current folder";

/** What one candidate of a search comes to. `seen` starts as zero; free `verdict` in every case. */
enum ncr_outcome ncr_consider(struct ncr_seen *seen, const struct ncr_candidate *candidate,
                              const struct ncr_config *config, struct ncr_verdict *verdict) {
    bool relative = *candidate->path != '/';
    if (candidate->refusal || relative) {
        *verdict = (struct ncr_verdict){
            .refusal = ncr_copy(candidate->refusal ? candidate->refusal : in_current_folder),
            .missing = !candidate->refusal && !ncr_file_exists(candidate->path),
        };
        return verdict->missing ? NCR_ABSENT : NCR_REFUSED;
    }
    ncr_judge(candidate->path, config, verdict);
    if (verdict->missing)
        return NCR_ABSENT;
    if (seen_before(seen, verdict))
        return NCR_SEEN;
    return verdict->refusal ? NCR_REFUSED : NCR_FIT;
}

void ncr_verdict_free(struct ncr_verdict *verdict) {
    free(verdict->refusal);
    verdict->refusal = NULL;
}
