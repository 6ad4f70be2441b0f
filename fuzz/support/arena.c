/* SPDX-License-Identifier: Apache-2.0 */
/* The linker leads the allocations of every object of a harness here (--wrap). */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_reallocarray(void *block, size_t count, size_t size);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
int __wrap_vasprintf(char **text, const char *format, va_list list);

static bool keeps; /* between arena_begin() and arena_end() */
static void **blocks;
static size_t count, room;

static void *keep(void *block) {
    if (!keeps || !block)
        return block;
    if (count == room) {
        room = room ? 2 * room : 1024;
        blocks = __real_realloc(blocks, room * sizeof *blocks);
    }
    blocks[count++] = block;
    return block;
}

/* What is freed was mostly allocated a moment ago. */
static void forget(const void *block) {
    for (size_t i = keeps ? count : 0; i > 0; i--)
        if (blocks[i - 1] == block) {
            blocks[i - 1] = blocks[--count];
            return;
        }
}

void arena_begin(void) {
    keeps = true;
}

void arena_end(void) {
    keeps = false;
    while (count > 0)
        __real_free(blocks[--count]);
}

void *__wrap_malloc(size_t size) {
    return keep(__real_malloc(size));
}

void *__wrap_calloc(size_t number, size_t size) {
    return keep(__real_calloc(number, size));
}

void *__wrap_realloc(void *block, size_t size) {
    forget(block);
    return keep(__real_realloc(block, size));
}

void *__wrap_reallocarray(void *block, size_t number, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(number, size, &bytes) ? NULL : __wrap_realloc(block, bytes);
}

void __wrap_free(void *block) {
    if (block)
        forget(block);
    __real_free(block);
}

char *__wrap_strdup(const char *text) {
    return __wrap_strndup(text, strlen(text));
}

char *__wrap_strndup(const char *text, size_t most) {
    size_t length = strnlen(text, most);
    char *copy = __wrap_malloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

int __wrap_vasprintf(char **text, const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    *text = length < 0 ? NULL : __wrap_malloc((size_t)length + 1);
    return *text ? vsnprintf(*text, (size_t)length + 1, format, list) : -1;
}
