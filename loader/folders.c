/* Lists of folders as the dynamic loader reads them: separated by colons, with $ORIGIN inside. */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/** Visit each folder of a list such as PATH or LD_LIBRARY_PATH (`list` may be NULL); an empty one is the current. */
bool ncr_split_path(const char *list, const char *origin, ncr_folder_visitor *visit, void *arg) {
    bool stop = false;
    while (list && !stop) {
        size_t length = strcspn(list, ":");
        char *folder = length ? strndup(list, length) : strdup(".");
        stop = folder && visit(arg, origin, folder);
        free(folder);
        list = list[length] ? list + length + 1 : NULL;
    }
    return stop;
}

struct absolute {
    ncr_folder_visitor *visit;
    void *arg;
};

static bool visit_absolute(void *arg, const char *origin, const char *folder) {
    const struct absolute *absolute = arg;
    return *folder == '/' && absolute->visit(absolute->arg, origin, folder);
}

/** The same without the relative ones: those are other folders for each process, and others may write in them. */
bool ncr_split_absolute(const char *list, const char *origin, ncr_folder_visitor *visit, void *arg) {
    struct absolute absolute = {visit, arg};
    return ncr_split_path(list, origin, visit_absolute, &absolute);
}

/** Put the folder of `object_path` in the place of $ORIGIN or ${ORIGIN}; a fresh string. */
char *ncr_expand_origin(const char *folder, const char *object_path) {
    static const char *const tokens[] = {"$ORIGIN", "${ORIGIN}"};
    for (int i = 0; i < 2; i++) {
        const char *token = strstr(folder, tokens[i]);
        if (!token)
            continue;
        char *origin = ncr_parent(object_path, 1);
        char *expanded =
            origin ? ncr_path("%.*s%s%s", (int)(token - folder), folder, origin, token + strlen(tokens[i])) : NULL;
        free(origin);
        return expanded;
    }
    return strdup(folder);
}
