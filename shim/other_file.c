/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One NCCL per process: whoever comes later gets the first one's. Where the user named none, one line says so the first
 * time that the program opens another one by its full path.
 */
#include "shim.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* Is it the very file, or a copy of the same size and version? */
static bool is_active(const char *file, int *version) {
    const struct ncr_backend *active = ncr_backend();
    struct ncr_elf theirs, ours;
    ncr_elf_open(&theirs, file);
    ncr_elf_open(&ours, active->path);
    bool same = theirs.status.st_ino == ours.status.st_ino && theirs.status.st_dev == ours.status.st_dev;
    *version = same || theirs.refusal ? 0 : ncr_elf_nccl_version(&theirs, NULL);
    bool copy = *version == active->version && theirs.status.st_size == ours.status.st_size;
    ncr_elf_close(&theirs);
    ncr_elf_close(&ours);
    return same || copy;
}

/* A file that is not a usable NCCL would not work for the program without the shim either. */
static bool is_usable(const char *file) {
    struct ncr_validation validation;
    ncr_validate(file, ncr_settings(), &validation);
    bool usable = !validation.refusal && !validation.missing;
    ncr_validation_free(&validation);
    return usable;
}

/** The program opens this file, and gets the active NCCL. */
void ncr_note_other_file(const char *file) {
    static atomic_flag told = ATOMIC_FLAG_INIT;
    static atomic_bool done;
    int error = errno, version;
    if (atomic_load(&done) || !strchr(file, '/') || ncr_settings()->choice != NCR_CHOOSE_AUTO)
        return;
    if (!is_active(file, &version) && is_usable(file) && !atomic_flag_test_and_set(&told)) {
        atomic_store(&done, true);
        char theirs[16], ours[16];
        ncr_version_text(version, theirs);
        ncr_version_text(ncr_backend()->version, ours);
        ncr_log(
            NCR_WARN,
            "the program opens NCCL %s, %s, but gets the one that is active in this process, NCCL %s: %s (%s, from %s). "
            "NCCL_REDIRECT=%s would choose the other one for the whole process; NCCL_REDIRECT=%s keeps this one "
            "without this warning",
            theirs, file, ours, ncr_backend()->path, ncr_method_name(ncr_backend()->method), ncr_backend()->origin,
            file, ncr_method_name(ncr_backend()->method));
    }
    errno = error;
}
