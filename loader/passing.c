/* SPDX-License-Identifier: Apache-2.0 */
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

static __thread int newest;
static __thread unsigned noted_count;
static __thread const char *lacking;

/** Forget what was noted: a decision begins. */
void ncr_passing_begin(void) {
    newest = 0;
    noted_count = 0;
    lacking = NULL;
}

static const int errors[] = {EMFILE, ENFILE, ENOMEM, EINTR, EAGAIN, EIO, ESTALE, ETIMEDOUT, ENOBUFS};

/** Note that a call failed with this error, if it is one that passes. Returns whether it is. */
bool ncr_passing_note(int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (error == errors[i]) {
            newest = error;
            noted_count++;
            if (error == ENOMEM)
                lacking = "out of memory";
            else if (error == EMFILE || error == ENFILE)
                lacking = "no free file descriptor";
            return true;
        }
    return false;
}

/**
 * Note the error in a message of the dynamic loader, which mostly ends with it: "…: Too many open files". Without memory for
 * a message there is none.
 */
void ncr_passing_note_message(const char *message) {
    if (!message || strcmp(message, "out of memory") == 0)
        ncr_memory_note();
    for (size_t i = 0; message && i < sizeof errors / sizeof *errors; i++)
        if (strstr(message, strerror(errors[i])))
            ncr_passing_note(errors[i]);
}

/** The newest temporary error, which may not occur again; 0 if there was none. */
int ncr_passing_noted(void) {
    return newest;
}

/** How many were noted: if two results differ, there was one in between. */
unsigned ncr_passing_count(void) {
    return noted_count;
}

/** Which resource ran out, in words; NULL if none did. */
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
