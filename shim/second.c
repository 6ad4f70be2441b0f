/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second NCCL in the process: the hook prevents the usual ways, but dlmopen, a file under another name or a library
 * linked by path still map one. Two NCCLs on one GPU fail or hang at the first collective, so the first communicator
 * looks.
 */
#include "shim.h"
#include "old_glibc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_ours_or_chosen(uintptr_t start, uintptr_t end) {
    uintptr_t self = (uintptr_t)ncr_trampolines_start;
    return (self >= start && self < end) || ncr_in_backend((const void *)start);
}

/* Paths that look like one. Validated only after the walk, which must not touch files. */
struct suspects {
    char *paths[8];
    unsigned count;
};

static bool suspect(void *arg, const struct ncr_object *object) {
    struct suspects *suspects = arg;
    if (object->is_nccl && !is_ours_or_chosen(object->start, object->end))
        suspects->paths[suspects->count++] = strdup(object->path);
    return suspects->count == sizeof suspects->paths / sizeof *suspects->paths;
}

/* Another copy of this shim has the SONAME of an NCCL, and is none. */
static bool is_shim(const char *path) {
    struct ncr_validation validation;
    ncr_validate(path, ncr_settings(), &validation);
    ncr_validation_free(&validation);
    return validation.shim;
}

static char *second_in_list(void) {
    struct suspects suspects = {.count = 0};
    char *second = NULL;
    ncr_objects(suspect, &suspects);
    for (unsigned i = 0; i < suspects.count; i++) {
        if (!second && suspects.paths[i] && !is_shim(suspects.paths[i]))
            second = suspects.paths[i];
        else
            free(suspects.paths[i]);
    }
    return second;
}

/*
 * One line of /proc/self/maps: "start-end rwxp offset device inode   path". The path of an NCCL's
 * code, or NULL.
 */
static char *second_in_line(char *line) {
    char *at, *path = strchr(line, '/');
    uintptr_t range[2] = {0, 0};
    for (int i = 0; i < 2; i++, line = at + 1) /* by hand: newer headers make strtoul a symbol of glibc 2.38 */
        for (at = line; *at && *at != '-' && *at != ' '; at++)
            range[i] = range[i] * 16 + (uintptr_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    if (!path || line[2] != 'x' || !ncr_is_nccl_name(path) || is_ours_or_chosen(range[0], range[1]))
        return NULL;
    path[strcspn(path, "\n")] = '\0';
    return is_shim(path) ? NULL : strdup(path);
}

/* What dlmopen has mapped is not in the loader's list of this namespace. */
static char *second_in_maps(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char *line = NULL, *path = NULL;
    size_t room = 0;
    while (maps && !path && getline(&line, &room, maps) > 0)
        path = second_in_line(line);
    free(line);
    if (maps)
        fclose(maps);
    return path;
}

/* Opened by another thread since we looked, or about to be. */
static bool is_chosen_now(const char *path) {
    for (unsigned i = 0; i < ncr_library_count(); i++)
        if (strcmp(ncr_library_at(i)->backend.path, path) == 0)
            return true;
    return ncr_somebody_binds();
}

/**
 * Warn once per process, naming both files, if an NCCL other than the backend is mapped. While another thread opens a
 * library, the next communicator looks.
 */
void ncr_look_for_second(void) {
    static atomic_flag looked = ATOMIC_FLAG_INIT;
    if (!ncr_backend()->handle || ncr_somebody_binds() || atomic_flag_test_and_set(&looked) || ncr_backend_wraps())
        return;
    /* Two copies of this shim in a chain: the next one has the backend, and looks itself. */
    if (dlsym(ncr_backend()->handle, "nccl_redirect_version"))
        return;
    char *other = second_in_list();
    if (!other)
        other = second_in_maps();
    if (other && is_chosen_now(other))
        atomic_flag_clear(&looked);
    else if (other)
        ncr_log(
            NCR_WARN,
            "two NCCLs are mapped in this process: %s is active, but %s is loaded too; code that calls the second one "
            "through its own handle may fail or hang at the first collective. LD_DEBUG=files tells what loads it",
            ncr_backend()->path, other);
    free(other);
}
