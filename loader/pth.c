/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The .pth files of a package folder: Python's site module adds each line that names a folder to its path, right behind
 * the folder itself. Editable installs and hand-made links to other environments use them. Lines of code ("import …"), as
 * some editable installs have, are not followed.
 */
#include "loader.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 16, MOST_TEXT = 16 << 10 };

struct names {
    char *list[MOST_FILES];
    unsigned count;
};

static bool is_pth(const char *name) {
    size_t length = strlen(name);
    return length > 4 && *name != '.' && strcmp(name + length - 4, ".pth") == 0;
}

static bool remember(void *arg, const char *name) {
    struct names *names = arg;
    char *copy = is_pth(name) ? ncr_copy(name) : NULL;
    if (copy) /* else out of memory, and the file is passed over */
        names->list[names->count++] = copy;
    return names->count == MOST_FILES;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One line: blanks at its ends are cut, as Python does. */
static bool visit_line(const char *site, char *line, const char *origin, ncr_folder_visitor *visit, void *arg) {
    for (size_t length = strlen(line); length > 0 && strchr(" \t\r", line[length - 1]); length--)
        line[length - 1] = '\0';
    if (!*line || *line == '#' || ncr_begins(line, "import ") || ncr_begins(line, "import\t"))
        return false;
    char *folder = *line == '/' ? ncr_copy(line) : ncr_path("%s/%s", site, line);
    bool stop = folder && visit(arg, origin, folder);
    free(folder);
    return stop;
}

static bool visit_file(const char *site, const char *name, const char *origin, ncr_folder_visitor *visit, void *arg) {
    char *path = ncr_path("%s/%s", site, name), *text = path ? ncr_file_text(path, MOST_TEXT) : NULL;
    bool stop = false;
    for (char *line, *rest = text; !stop && (line = strsep(&rest, "\n"));)
        stop = visit_line(site, line, origin, visit, arg);
    free(text);
    free(path);
    return stop;
}

/** Visit the folders that the .pth files of a package folder add, in Python's order. */
bool ncr_pth_folders(const char *site, const char *origin, ncr_folder_visitor *visit, void *arg) {
    struct names names = {.count = 0};
    bool stop = false;
    ncr_file_names(site, remember, &names);
    qsort(names.list, names.count, sizeof *names.list, by_name);
    for (unsigned i = 0; i < names.count; i++) {
        stop = stop || (names.list[i] && visit_file(site, names.list[i], origin, visit, arg));
        free(names.list[i]);
    }
    return stop;
}
