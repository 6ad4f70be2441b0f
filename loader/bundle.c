/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that bring their libraries along put their own folder into LD_LIBRARY_PATH before they start themselves
 * again: PyInstaller (which keeps the user's list in LD_LIBRARY_PATH_ORIG, if there was one) and others that do the
 * same, AppImages. What is there belongs to the program, not to the system.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/* Is the folder the root, or inside? */
static bool is_below(const char *folder, const char *root) {
    size_t length = root ? strlen(root) : 0;
    while (length > 1 && root[length - 1] == '/')
        length--;
    return length > 1 && strncmp(folder, root, length) == 0 && (folder[length] == '/' || !folder[length]);
}

static bool is_same(void *folder, const char *origin, const char *other) {
    (void)origin;
    return strcmp(folder, other) == 0;
}

static bool is_in_root(const char *folder) {
    static const char *const roots[] = {"APPDIR", "_MEIPASS2", "_PYI_APPLICATION_HOME_DIR"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (is_below(folder, ncr_environment(roots[i])))
            return true;
    return false;
}

/* Where a bundle of PyInstaller lies: in one folder with its program, or unpacked for this run. */
static bool may_be_bundle(struct ncr_search *search, const char *folder) {
    const char *program = ncr_search_program(search);
    char *own = program ? ncr_parent(program, 1) : NULL;
    bool yes = is_below(folder, own) || ncr_begins(ncr_basename(folder), "_MEI");
    free(own);
    return yes;
}

/** Does this folder of LD_LIBRARY_PATH belong to the program's own bundle? */
bool ncr_is_bundle(struct ncr_search *search, const char *folder) {
    const char *original = ncr_environment("LD_LIBRARY_PATH_ORIG");
    if (original && !ncr_split_library_path(original, NULL, is_same, (void *)folder))
        return true;
    if (is_in_root(folder))
        return true;
    char *mark = may_be_bundle(search, folder) ? ncr_path("%s/base_library.zip", folder) : NULL;
    bool yes = mark && ncr_file_exists(mark);
    free(mark);
    return yes;
}
