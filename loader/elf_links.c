/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a library file is linked with: the NCCL among its DT_NEEDED, DT_RPATH and DT_RUNPATH. Their strings lie together
 * and are read at once, since a decision may read several files on a shared file system.
 */
#include "loader.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_SPAN = 64 << 10, /* of the strings; if they lie further apart, each is read by itself */
    MOST_PATH = 8 << 10   /* of one string */
};

/* The strings of the file that are wanted, if they lie together. */
struct strings {
    char *data;
    uint64_t first; /* the place of the data in the string table */
};

static bool is_wanted(const Elf64_Dyn *entry) {
    return entry->d_tag == DT_NEEDED || entry->d_tag == DT_RPATH || entry->d_tag == DT_RUNPATH;
}

static const Elf64_Dyn *entry_at(const struct ncr_elf *elf, size_t i) {
    const Elf64_Dyn *entries = elf->dynamic;
    return i < elf->dynamic_count && entries[i].d_tag != DT_NULL ? &entries[i] : NULL;
}

static void read_strings(const struct ncr_elf *elf, struct strings *strings) {
    uint64_t table, size, offset, last = 0;
    void *data = NULL;
    *strings = (struct strings){NULL, UINT64_MAX};
    for (size_t i = 0; entry_at(elf, i); i++)
        if (is_wanted(entry_at(elf, i))) {
            uint64_t at = entry_at(elf, i)->d_un.d_val;
            strings->first = at < strings->first ? at : strings->first;
            last = at > last ? at : last;
        }
    if (strings->first > last || last - strings->first > MOST_SPAN || !ncr_elf_dynamic(elf, DT_STRTAB, 0, &table) ||
        !ncr_elf_dynamic(elf, DT_STRSZ, 0, &size) || last >= size || !ncr_elf_offset(elf, table, &offset))
        return;
    uint64_t span = last - strings->first + MOST_PATH;
    span = size - strings->first < span ? size - strings->first : span;
    strings->data = ncr_elf_read(elf, &data, span, offset + strings->first) ? data : NULL;
}

static void take(struct ncr_links *links, int64_t tag, const char *string) {
    char **into = tag == DT_RPATH            ? &links->rpath
                  : tag == DT_RUNPATH        ? &links->runpath
                  : ncr_is_nccl_name(string) ? &links->nccl
                                             : NULL;
    if (into && !*into)
        *into = ncr_copy(string);
}

/* One string each: "nth" counts the entries of its tag. */
static void take_one_by_one(const struct ncr_elf *elf, struct ncr_links *links) {
    static const int64_t tags[] = {DT_NEEDED, DT_RPATH, DT_RUNPATH};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        char *string;
        for (unsigned nth = 0; (string = ncr_elf_dynamic_name(elf, tags[i], nth)); nth++) {
            take(links, tags[i], string);
            free(string);
        }
    }
}

/** Read the links of an opened library file; empty if it has none that can be read. Free with ncr_links_free(). */
void ncr_elf_links(struct ncr_elf *elf, struct ncr_links *links) {
    struct strings strings;
    *links = (struct ncr_links){0};
    if (!ncr_elf_load_dynamic(elf))
        return;
    read_strings(elf, &strings);
    for (size_t i = 0; strings.data && entry_at(elf, i); i++)
        if (is_wanted(entry_at(elf, i)))
            take(links, entry_at(elf, i)->d_tag, strings.data + (entry_at(elf, i)->d_un.d_val - strings.first));
    if (!strings.data)
        take_one_by_one(elf, links);
    free(strings.data);
    if (links->runpath) { /* the loader then leaves out DT_RPATH */
        free(links->rpath);
        links->rpath = NULL;
    }
}

void ncr_links_free(struct ncr_links *links) {
    free(links->nccl);
    free(links->rpath);
    free(links->runpath);
    *links = (struct ncr_links){0};
}
