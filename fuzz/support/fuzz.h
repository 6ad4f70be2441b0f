/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the harnesses share. A harness is one file fuzz/fuzz_WHAT.c with LLVMFuzzerTestOneInput(): it takes bytes as they
 * could come from a file, a process or another host, hands them to the product's own code, and checks what must hold for
 * whatever it answers. A seed or a found input is a file in fuzz/seeds/WHAT.
 *
 * The same file is linked with libFuzzer (make fuzz) and, without clang, with replay.c, which runs the seeds (make check).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv); /* once, before the first input; may be missing */

/* Like assert(), but in every build: what must hold for any input. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fuzz_fail(#condition, __FILE__, __LINE__);                                                                 \
    } while (0)
_Noreturn void fuzz_fail(const char *condition, const char *file, int line);

/* The text is one line without control characters, in well-formed UTF-8: fit for a log and a terminal. */
bool is_visible(const char *text);

/* ---- memory_files.c: files that exist in memory alone; everything else does not exist ---- */

/* A path that ends in "*" stands for every path that begins so. The bytes are not copied. */
void memory_file_add(const char *path, const void *bytes, size_t size);
void memory_files_clear(void);

/* ---- parts.c: one input, several files ---- */

enum { MOST_PARTS = 16 };

/* The input is divided at lines "====". Each part is a copy with a NUL behind it. */
struct parts {
    char *text[MOST_PARTS];
    size_t size[MOST_PARTS];
    unsigned count;
};

void parts_read(struct parts *parts, const uint8_t *data, size_t size);
void parts_free(struct parts *parts);
char *part_line(char **rest); /* cuts the next line off; NULL at the end */

/* ---- arena.c: the tool ends after one answer and frees nothing; a harness asks it a million times ---- */

/* What is allocated between the two, and not freed, is freed by the second. */
void arena_begin(void);
void arena_end(void);

#endif
