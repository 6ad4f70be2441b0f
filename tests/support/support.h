/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test uses: run a program with or without the shim in an environment that is known to the last variable,
 * look at what it printed, and build small folder trees. Only run() sets LD_PRELOAD; the tests themselves run without
 * the shim.
 */
#ifndef NCR_TEST_SUPPORT_H
#define NCR_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Exit status of a test program that could not run here, printed with the reason. */
#define NCR_SKIP 77

struct result {
    int status; /* exit status; 128 + the signal if it was killed; 124 after TIME_LIMIT seconds */
    char *out;  /* all of stdout */
    char *err;  /* all of stderr */
};

/* Lists of strings end with NULL: ENV("A=1", "B=2"), CMD(program("x"), "arg"). */
#define ENV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_ENV ((const char *const[]){NULL})
#define CMD(...) ((const char *const[]){__VA_ARGS__, NULL})

enum preload { WITHOUT_SHIM, WITH_SHIM };

/*
 * Run a command to its end. The environment is PATH, HOME (an empty folder) and `environment`, nothing else.
 * LD_PRELOAD=... in `environment` together with WITH_SHIM is kept, and the shim appended.
 */
struct result run(enum preload preload, const char *const *environment, const char *const *command);
void result_free(struct result *result);
void show(const struct result *result); /* for messages of a failing test */

/* Assert that a text contains, or lacks, a part; on failure both are printed. */
#define assert_contains(text, part) assert_contains_at(text, part, true, __FILE__, __LINE__)
#define assert_lacks(text, part) assert_contains_at(text, part, false, __FILE__, __LINE__)
void assert_contains_at(const char *text, const char *part, bool wanted, const char *file, int line);

/* Paths. All live until the test ends. */
const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *built(const char *relative);  /* build/RELATIVE, absolute */
const char *shim(void);                   /* build/libnccl_redirect.so */
const char *program(const char *name);    /* build/tests/programs/NAME */
const char *library(const char *name);    /* build/tests/libraries/NAME.so */
const char *hostmem(const char *variant); /* build/hostmem/VARIANT/libnccl.so.2 */
const char *real_nccl(const char *wheel); /* build/nccl/WHEEL/lib/libnccl.so.2; fails the test if it is not there */

/* A fresh folder, removed when the test program ends. */
const char *fresh_folder(void);
void make_folder(const char *path);                          /* with parents */
void write_file(const char *path, const char *content);      /* with parents */
void make_link(const char *target, const char *path);        /* symbolic, with parents */
void copy_file(const char *from, const char *to, long size); /* with parents; size -1 is all */

#endif
