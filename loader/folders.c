/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of folders as the dynamic loader reads them: separated by colons, with $ORIGIN and its like inside. */
#include "loader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

static bool split(const char *list, const char *separators, const char *origin, ncr_folder_visitor *visit, void *arg) {
    bool stop = false;
    while (list && !stop) {
        size_t length = strcspn(list, separators);
        char *folder = length ? ncr_copy_part(list, length) : ncr_copy(".");
        stop = folder && visit(arg, origin, folder);
        free(folder);
        list = list[length] ? list + length + 1 : NULL;
    }
    return stop;
}

/** Visit each folder of a list such as PATH or RUNPATH (`list` may be NULL); an empty one is the current. */
bool ncr_split_path(const char *list, const char *origin, ncr_folder_visitor *visit, void *arg) {
    return split(list, ":", origin, visit, arg);
}

/** The same for LD_LIBRARY_PATH, where a semicolon separates too. */
bool ncr_split_library_path(const char *list, const char *origin, ncr_folder_visitor *visit, void *arg) {
    return split(list, ":;", origin, visit, arg);
}

struct absolute {
    ncr_folder_visitor *visit;
    void *arg;
};

static bool visit_absolute(void *arg, const char *origin, const char *folder) {
    const struct absolute *absolute = arg;
    return *folder == '/' && absolute->visit(absolute->arg, origin, folder);
}

/** The same without relative folders: they differ from process to process, and others may be able to write to them. */
bool ncr_split_absolute(const char *list, const char *origin, ncr_folder_visitor *visit, void *arg) {
    struct absolute absolute = {visit, arg};
    return ncr_split_path(list, origin, visit_absolute, &absolute);
}

/*
 * What $LIB means: lib/TRIPLET for Debian's loader, lib64 for Red Hat's, lib for Arch's. Found by which loader is
 * there.
 */
static const char *lib_token(void) {
#if defined(__x86_64__)
    static const char triplet[] = "lib/x86_64-linux-gnu";
    bool multiarch = ncr_file_exists("/lib/x86_64-linux-gnu/libc.so.6");
    bool lib64 = !multiarch && ncr_file_exists("/lib64/libc.so.6");
#elif defined(__aarch64__)
    static const char triplet[] = "lib/aarch64-linux-gnu";
    bool multiarch = ncr_file_exists("/lib/aarch64-linux-gnu/libc.so.6");
    bool lib64 = !multiarch && ncr_file_exists("/lib64/libc.so.6");
#endif
    return multiarch ? triplet : lib64 ? "lib64" : "lib";
}

/* What a token means, as a fresh string, or NULL. */
static char *token_value(const char *name, const char *object_path) {
    if (strcmp(name, "ORIGIN") == 0)
        return object_path ? ncr_parent(object_path, 1) : NULL;
    if (strcmp(name, "LIB") == 0)
        return ncr_copy(lib_token());
    const char *platform = (const char *)getauxval(AT_PLATFORM);
    return ncr_copy(platform ? platform : "");
}

/* The length of the token that `at`, a dollar, begins, with or without braces; 0 if there is none. */
static size_t token_at(const char *at, const char **name) {
    static const char *const names[] = {"ORIGIN", "LIB", "PLATFORM"};
    bool braces = at[1] == '{';
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(at + 1 + braces, names[i], length) != 0 || (braces && at[2 + length] != '}'))
            continue;
        *name = names[i];
        return 1 + length + 2 * (size_t)braces;
    }
    return 0;
}

/**
 * Replace $ORIGIN by the folder of `object_path`, and the system's words for $LIB and $PLATFORM (each also in braces);
 * a fresh string, or NULL.
 */
char *ncr_expand_tokens(const char *folder, const char *object_path) {
    struct ncr_text text = {0};
    bool good = true;
    while (*folder && good) {
        const char *name;
        size_t plain = strcspn(folder, "$"), length = folder[plain] ? token_at(folder + plain, &name) : 0;
        plain += folder[plain] && !length; /* a dollar that begins no token */
        ncr_text_add(&text, "%.*s", (int)plain, folder);
        folder += plain + length;
        char *value = length ? token_value(name, object_path) : NULL;
        good = !length || value;
        ncr_text_add(&text, "%s", value ? value : "");
        free(value);
    }
    if (good && text.data)
        return text.data;
    ncr_text_free(&text);
    return NULL;
}
