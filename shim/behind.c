/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NCCL that wraps another one, and opens that by its bare name: to the loader, "libnccl.so.2" is this preload
 * library, whose functions lead back to the wrapper, and so on without end. Instead the wrapper gets a real NCCL: the
 * one that the loader would find for it, or else the system's, but never itself. What it opens by a path is opened as
 * it is.
 */
#include "layer.h"

#include <stdlib.h>
#include <string.h>

struct behind {
    dev_t devices[NCR_MOST_LIBRARIES + 1]; /* of the libraries that are open, or being opened */
    ino_t inodes[NCR_MOST_LIBRARIES + 1];
    unsigned count;
    char *found;
};

static void avoid(struct behind *behind, const char *path) {
    struct stat status;
    if (path && behind->count <= NCR_MOST_LIBRARIES && ncr_file_status(path, &status)) {
        behind->devices[behind->count] = status.st_dev;
        behind->inodes[behind->count++] = status.st_ino;
    }
}

static bool take(void *arg, const struct ncr_considered *one, struct ncr_text *reason) {
    struct behind *behind = arg;
    for (unsigned i = 0; i < behind->count; i++)
        if (behind->inodes[i] == one->validation->inode && behind->devices[i] == one->validation->device) {
            ncr_text_add(reason, "is the wrapper itself");
            return false;
        }
    behind->found = ncr_copy(one->candidate->path);
    return behind->found != NULL;
}

struct asker {
    uintptr_t address;
    const char *name;
    char *path;
};

static bool bears_the_name(void *arg, const struct ncr_object *object) {
    struct asker *asker = arg;
    if (asker->address < object->start || asker->address >= object->end)
        return false;
    asker->path = object->soname && strcmp(object->soname, asker->name) == 0 ? strdup(object->path) : NULL;
    return true;
}

/*
 * The file of the library that this call comes from, if the name that it opens is its own SONAME: the loader gives it
 * itself then. A fresh string, or NULL.
 */
static char *asks_for_itself(const char *name, const void *caller) {
    struct asker asker = {(uintptr_t)caller, name, NULL};
    ncr_objects(bears_the_name, &asker);
    return asker.path;
}

/* The file of the NCCL behind a wrapper that opens `name`, as a fresh string; NULL with the reason in `why`. */
static char *find_behind(const char *name, const void *caller, struct ncr_text *why) {
    struct ncr_config config = *ncr_settings();
    struct behind behind = {.count = 0};
    config.choice = NCR_CHOOSE_PROGRAM;
    config.fallback = true;
    config.additional = true;
    config.system_path = NULL;
    config.require_text = NULL;
    for (unsigned i = 0; i < ncr_library_count(); i++)
        avoid(&behind, ncr_library_at(i)->backend.path);
    avoid(&behind, ncr_opening());
    struct ncr_selection selection = {
        .search = {.config = &config, .rccl_first = ncr_for_rccl, .requested = name, .caller = caller},
        .open = take,
        .arg = &behind};
    if (!ncr_select(&selection)) {
        ncr_text_add(why, "the active NCCL opens %s by its bare name, and no other NCCL can be used: ", name);
        ncr_selection_failure(&selection, why);
    }
    ncr_selection_free(&selection);
    return behind.found;
}

/* The backend has opened an NCCL. */
static atomic_bool wraps;

/**
 * Does the backend wrap another NCCL? Then a second one in the process is the wrapped one. Thread-safe, as everything
 * here.
 */
bool ncr_backend_wraps(void) {
    return atomic_load(&wraps);
}

void ncr_note_wrapping(void) {
    atomic_store(&wraps, true);
}

/** The file of the NCCL that a wrapper means by the bare `name`, as a fresh string; NULL with the reason in `why`. */
char *ncr_find_behind(const char *name, const void *caller, struct ncr_text *why) {
    char *itself = asks_for_itself(name, caller);
    return itself ? itself : find_behind(name, caller, why);
}
