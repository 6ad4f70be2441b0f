/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings that a program may hold for as long as it runs: what ncclGetLastError returned, why NCCL is disabled. Equal
 * strings are kept once, so that a loop that runs into the same error needs no more memory. As many as there is room
 * for here are kept forever; after that a few buffers are used in turn, each of which is overwritten some errors later.
 * (In NCCL itself it is one buffer.) No lock: errors happen in any thread.
 */
#include "shim.h"

#include <stdio.h>
#include <string.h>

enum { KEPT = 256, BUFFERS = 32, BUFFER_BYTES = 2048 };

static _Atomic(const char *) kept[KEPT]; /* open addressing; NULL: free */
static char buffers[BUFFERS][BUFFER_BYTES];
static _Atomic unsigned next_buffer;

static unsigned place_of(const char *text) {
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h % KEPT;
}

static const char *in_a_buffer(const char *text) {
    char *buffer = buffers[atomic_fetch_add(&next_buffer, 1) % BUFFERS];
    if (snprintf(buffer, BUFFER_BYTES, "%s", text) >= BUFFER_BYTES)
        memcpy(buffer + BUFFER_BYTES - 4, "...", 4);
    return buffer;
}

/** Keep a string; takes ownership of it. Never NULL. Any thread. */
const char *ncr_keep(struct ncr_text *text) {
    const char *mine = ncr_text_get(text);
    unsigned start = place_of(mine);
    for (unsigned i = start; text->data && i < start + KEPT; i++) {
        const char *known = NULL;
        if (atomic_compare_exchange_strong(&kept[i % KEPT], &known, mine)) {
            *text = (struct ncr_text){0};
            return mine;
        }
        if (strcmp(known, mine) == 0) {
            ncr_text_free(text);
            return known;
        }
    }
    const char *copy = in_a_buffer(mine);
    ncr_text_free(text);
    return copy;
}
