/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that retries forever must not fill the log. The same line is written once, and of one kind (the same place
 * in the sources, with different files or values) as many different lines as there is room for here. Lines that are
 * left out are counted, and when there are 10, 100, 1000 … of a kind, the newest is written with the count. No lock and
 * no memory of its own: lines are written by any thread, at any moment.
 */
#include "loader.h"
#include "log_output.h"

#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

enum { KINDS = 128, TEXTS = 16 };

static struct {
    _Atomic(const char *) kind;     /* NULL: free */
    _Atomic uint64_t hashes[TEXTS]; /* of lines that were written; 0: free */
    _Atomic unsigned long count;
} kinds[KINDS];

static _Atomic int process; /* whose lines are counted: a forked child counts its own */

static uint64_t hash(const char *text) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h ? h : 1;
}

static void forget_the_parent(void) {
    int known = atomic_load(&process), now = (int)getpid();
    if (known == now || !atomic_compare_exchange_strong(&process, &known, now) || known == 0)
        return;
    for (unsigned i = 0; i < KINDS; i++) {
        atomic_store(&kinds[i].count, 0);
        for (unsigned j = 0; j < TEXTS; j++)
            atomic_store(&kinds[i].hashes[j], 0);
    }
}

/* Its entry; where there is no room, one that it shares. */
static unsigned entry_of(const char *kind) {
    unsigned start = (unsigned)((uintptr_t)kind / 8 % KINDS);
    for (unsigned i = start; i < start + KINDS; i++) {
        const char *known = NULL;
        if (atomic_compare_exchange_strong(&kinds[i % KINDS].kind, &known, kind) || known == kind)
            return i % KINDS;
    }
    return start;
}

static bool is_new(unsigned entry, uint64_t text) {
    for (unsigned i = 0; i < TEXTS; i++) {
        uint64_t known = 0;
        if (atomic_compare_exchange_strong(&kinds[entry].hashes[i], &known, text))
            return true;
        if (known == text)
            return false;
    }
    return false;
}

static bool is_power_of_ten(unsigned long count) {
    while (count >= 10 && count % 10 == 0)
        count /= 10;
    return count == 1;
}

/**
 * Is a line to be written? `kind` is a string that stands for its place in the sources; `count` becomes how many of the
 * kind there were, if that is to be said, else 0. Any thread.
 */
bool ncr_log_admits(const char *kind, const char *text, unsigned long *count) {
    forget_the_parent();
    unsigned entry = entry_of(kind);
    bool new = is_new(entry, hash(text));
    unsigned long all = atomic_fetch_add(&kinds[entry].count, 1) + 1;
    *count = !new &&is_power_of_ten(all) ? all : 0;
    return new || *count > 0;
}
