/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/transcripts.md is what the program prints. A line <!-- scene: NAME VARIABLE=value … --> starts a scene; in each
 * block ```console the lines that start with "$ " are run there, and what follows must be their output (stdout, then
 * stderr), with the exit code in a comment line where it is not 0. NCR_UPDATE=1 writes the file anew instead.
 * NOT SANITIZED: the order of a library's symbols, which the document shows, depends on how it was compiled.
 */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "docs/transcripts.md"

static struct scene scene_of(const char *line) {
    char *words = strdup(line + strlen("<!-- scene: "));
    *strstr(words, " -->") = '\0';
    struct scene scene = scene_make(strtok(words, " "));
    for (char *word; (word = strtok(NULL, " "));)
        scene_set(&scene, text("%s", word));
    return scene;
}

static const char *transcript(const struct scene *scene, const char *command) {
    struct result result = scene_run(scene, command);
    return text("$ %s\n%s%s%s", command, result.out, result.err,
                result.status ? text("# exit code %d\n", result.status) : "");
}

static char *read_document(void) {
    FILE *file = fopen(FILE_NAME, "r");
    if (!file)
        fail_msg("%s is not there; the tests run in the root of the source", FILE_NAME);
    char *all = calloc(1, 1 << 20);
    all[fread(all, 1, (1 << 20) - 1, file)] = '\0';
    fclose(file);
    return all;
}

/* The document with every transcript made anew. */
static const char *made_anew(const char *document) {
    struct scene scene = {.root = NULL};
    const char *result = "";
    bool inside = false;
    for (const char *at = document, *next; *at; at = next) {
        next = at + strcspn(at, "\n");
        next += *next == '\n';
        const char *line = text("%.*s", (int)strcspn(at, "\n"), at);
        if (strncmp(line, "<!-- scene: ", 12) == 0)
            scene = scene_of(line);
        if (inside && strncmp(line, "$ ", 2) == 0)
            result = text("%s%s", result, transcript(&scene, line + 2));
        else if (!inside || strcmp(line, "```") == 0)
            result = text("%s%s\n", result, line);
        inside = strcmp(line, "```console") == 0 || (inside && strcmp(line, "```") != 0);
    }
    return result;
}

static void show_difference(const char *wanted, const char *found) {
    const char *folder = fresh_folder();
    write_file(text("%s/document", folder), wanted);
    write_file(text("%s/program", folder), found);
    struct result result =
        run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/diff", "-u", text("%s/document", folder), text("%s/program", folder)));
    print_message("%s", result.out);
    result_free(&result);
}

static void the_document_is_what_the_program_prints(void **state) {
    (void)state;
    const char *document = read_document(), *found = made_anew(document);
    if (getenv("NCR_UPDATE")) {
        write_file(text("%s/" FILE_NAME, getcwd(NULL, 0)), found);
        return;
    }
    if (strcmp(document, found) != 0) {
        show_difference(document, found);
        fail_msg("%s is not what the program prints; NCR_UPDATE=1 tests/run … writes it", FILE_NAME);
    }
}

/* Lines of at most 100 columns, except where a path does not fit behind the words on its left. */
static void lines_fit(void **state) {
    (void)state;
    const char *document = read_document();
    bool inside = false, whole_lines = false;
    for (const char *at = document; *at; at += strcspn(at, "\n") + 1) {
        const char *line = text("%.*s", (int)strcspn(at, "\n"), at), *word = line + strspn(line, " ");
        size_t longest = 0;
        for (const char *w = word; *w; w += strcspn(w, " "), w += strspn(w, " "))
            longest = strcspn(w, " ") > longest ? strcspn(w, " ") : longest;
        if (strncmp(line, "$ ", 2) == 0) /* their answers are for programs, one line each */
            whole_lines = strstr(line, "-redirect env") || strstr(line, "-redirect fingerprint");
        inside = strncmp(line, "```", 3) == 0 ? strcmp(line, "```console") == 0 : inside;
        if (inside && strncmp(line, "$ ", 2) != 0 && strlen(line) > 100 && longest < 76 && !whole_lines &&
            strncmp(line, "nccl-redirect: ", 15) != 0)
            fail_msg("%zu columns: %s", strlen(line), line);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_is_what_the_program_prints),
        cmocka_unit_test(lines_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
