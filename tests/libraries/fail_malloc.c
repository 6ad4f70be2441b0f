/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc that fails when it is told to: at one allocation, or at all from that one on. Preloaded; fail_malloc_at() is found
 * by dlsym. Counts only while it is armed.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static long fail_at = -1, count;
static bool all;

/* Returns how many allocations there were since the last call. `at` -1: none fails. */
long fail_malloc_at(long at, bool all_from_there) {
    long before = count;
    fail_at = at;
    all = all_from_there;
    count = 0;
    return before;
}

static bool fails(void) {
    long now = count++;
    bool yes = fail_at >= 0 && (now == fail_at || (all && now > fail_at));
    if (yes)
        errno = ENOMEM;
    return yes;
}

void *malloc(size_t size) {
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    return fails() ? NULL : __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
    return fails() ? NULL : __libc_realloc(memory, size);
}
