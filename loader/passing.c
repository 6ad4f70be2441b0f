/*
 * Failures that pass: no free descriptor, no memory, a network file system that has lost its server. What a search did not
 * see because of one of them it must not take for absent: a decision that ended without an NCCL is then made again at the
 * next call. Lack of memory or descriptors ends a search at once: what it did not see would make it take another NCCL.
 * Noted per thread, from ncr_passing_begin() on.
 */
#include "loader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static __thread bool passing;
static __thread const char *lacking;

/** Forget what was noted: a decision begins. */
void ncr_passing_begin(void) {
    passing = false;
    lacking = NULL;
}

/** Note that a call failed with this error, if it is one that passes. Returns whether it is. */
bool ncr_passing_note(int error) {
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, EINTR, EAGAIN, EIO, ESTALE, ETIMEDOUT, ENOBUFS};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (error == errors[i]) {
            passing = true;
            if (error == ENOMEM)
                lacking = "out of memory";
            else if (error == EMFILE || error == ENFILE)
                lacking = "no file descriptor is free";
            return true;
        }
    return false;
}

/** Has something failed that may work at the next call? */
bool ncr_passing_noted(void) {
    return passing;
}

/** What has been lacking, in words; NULL if nothing has. */
const char *ncr_lacking(void) {
    return lacking;
}

/** Note that an allocation has failed. */
void ncr_memory_note(void) {
    ncr_passing_note(ENOMEM);
}

/* `pointer` itself, noted where it is NULL. */
static void *noted(void *pointer) {
    if (!pointer)
        ncr_memory_note();
    return pointer;
}

/** strdup; NULL for NULL. */
char *ncr_copy(const char *text) {
    return text ? noted(strdup(text)) : NULL;
}

/** strndup. */
char *ncr_copy_part(const char *text, size_t length) {
    return noted(strndup(text, length));
}

/** calloc. */
void *ncr_allocate(size_t count, size_t size) {
    return noted(calloc(count ? count : 1, size));
}

/** realloc. */
void *ncr_allocate_more(void *memory, size_t size) {
    return noted(realloc(memory, size));
}

/** vasprintf: a fresh string, or NULL. */
char *ncr_print_list(const char *format, va_list list) {
    char *text = NULL;
    return noted(vasprintf(&text, format, list) < 0 ? NULL : text);
}
