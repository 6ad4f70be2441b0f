/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sparse arrays: items by a key of two words and a number. Numbers of calls are dense where ranks agree, and may be anything
 * in a damaged file, so an array by number will not do, nor a hash of single items: pages of 16 in a hash.
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_BYTES = 1 << 20 };

static size_t hash(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t mixed = (a ^ b * 0x9e3779b97f4a7c15u) + c * 0xff51afd7ed558ccdu;
    mixed ^= mixed >> 32;
    mixed *= 0xd6e8feb86659fd93u;
    return (size_t)(mixed ^ mixed >> 32);
}

static struct trace_page **place_of(const struct trace_pages *pages, uint64_t key, uint64_t key2, uint64_t first) {
    size_t at = hash(key, key2, first) & (pages->room - 1);
    for (; pages->table[at]; at = (at + 1) & (pages->room - 1)) {
        const struct trace_page *page = pages->table[at];
        if (page->key[0] == key && page->key[1] == key2 && page->first == first)
            break;
    }
    return &pages->table[at];
}

static void enlarge(struct trace_pages *pages) {
    struct trace_pages larger = *pages;
    larger.room = pages->room ? 2 * pages->room : 1024;
    larger.table = trace_take(larger.room, sizeof *larger.table); /* NOLINT(bugprone-sizeof-expression) */
    for (size_t i = 0; i < pages->room; i++) {
        struct trace_page *page = pages->table[i];
        if (page)
            *place_of(&larger, page->key[0], page->key[1], page->first) = page;
    }
    free(pages->table);
    *pages = larger;
}

static struct trace_page *new_page(struct trace_pages *pages) {
    size_t bytes = sizeof(struct trace_page) + TRACE_PAGE * pages->item;
    if (pages->arena_left < bytes) {
        pages->arenas = trace_more(pages->arenas, pages->arena_count, sizeof *pages->arenas);
        pages->arena = pages->arenas[pages->arena_count++] = trace_take(1, ARENA_BYTES);
        pages->arena_left = ARENA_BYTES;
    }
    struct trace_page *page = (struct trace_page *)(void *)pages->arena;
    pages->arena += bytes;
    pages->arena_left -= bytes;
    return page;
}

/** The item of that number, all zero when new; NULL if there is none and none shall be made. */
void *trace_pages_item(struct trace_pages *pages, uint64_t key, uint64_t key2, uint64_t number, bool make) {
    uint64_t first = number - number % TRACE_PAGE;
    if (!pages->room && !make)
        return NULL;
    if (2 * pages->used >= pages->room)
        enlarge(pages);
    struct trace_page **place = place_of(pages, key, key2, first);
    if (!*place && !make)
        return NULL;
    if (!*place) {
        *place = new_page(pages);
        (*place)->key[0] = key;
        (*place)->key[1] = key2;
        (*place)->first = first;
        pages->used++;
    }
    return (*place)->items + (number - first) * pages->item;
}

/** Goes through all pages, in no order; *at is 0 at first. NULL at the end. */
const struct trace_page *trace_pages_next(const struct trace_pages *pages, size_t *at) {
    while (*at < pages->room) {
        const struct trace_page *page = pages->table[(*at)++];
        if (page)
            return page;
    }
    return NULL;
}

void trace_pages_free(struct trace_pages *pages) {
    for (size_t i = 0; i < pages->arena_count; i++)
        free(pages->arenas[i]);
    free(pages->arenas);
    free(pages->table);
    *pages = (struct trace_pages){.item = pages->item};
}
