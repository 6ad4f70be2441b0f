/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a library file says by its dynamic section: names of libraries, run-time paths, its symbols. Found through the
 * segments, as the dynamic loader finds it; sections can be stripped.
 */
#include "loader.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

/* What real libraries have: libtorch_cuda 170 entries and 170 000 symbols. Larger claims are a broken file. */
#define MOST_DYNAMIC ((uint64_t)1 << 20)
#define MOST_SYMBOLS ((uint64_t)4 << 20)
#define MOST_NAME 4096

static bool refuse(struct ncr_elf *elf, char *why) {
    free(elf->refusal);
    elf->refusal = why;
    return false;
}

/** Where in the file stands what is mapped at this address? */
bool ncr_elf_offset(const struct ncr_elf *elf, uint64_t address, uint64_t *offset) {
    const Elf64_Phdr *segment = elf->segments;
    for (unsigned i = 0; i < elf->segment_count; i++)
        if (segment[i].p_type == PT_LOAD && address >= segment[i].p_vaddr &&
            address - segment[i].p_vaddr < segment[i].p_filesz) {
            *offset = address - segment[i].p_vaddr + segment[i].p_offset;
            return true;
        }
    return false;
}

/* "has a broken WHAT (it claims 18432 MiB; no library has more than 128)" */
static bool refuse_size(struct ncr_elf *elf, const char *what, uint64_t claimed, uint64_t most) {
    return refuse(elf, ncr_path("has a broken %s (it claims %llu MiB; no library has more than %llu)", what,
                                (unsigned long long)claimed >> 20, (unsigned long long)most >> 20));
}

/** Read the dynamic section; false if there is none. */
bool ncr_elf_load_dynamic(struct ncr_elf *elf) {
    const Elf64_Phdr *segment = elf->segments;
    for (unsigned i = 0; !elf->refusal && !elf->dynamic && i < elf->segment_count; i++) {
        uint64_t size = segment[i].p_filesz;
        if (segment[i].p_type != PT_DYNAMIC)
            continue;
        if (size > MOST_DYNAMIC)
            return refuse_size(elf, "dynamic section", size, MOST_DYNAMIC);
        if (ncr_elf_read(elf, &elf->dynamic, size, segment[i].p_offset))
            elf->dynamic_count = size / sizeof(Elf64_Dyn);
    }
    return elf->dynamic != NULL;
}

/** The value of the entry number `nth` with this tag (DT_STRTAB, …) of the dynamic section. */
bool ncr_elf_dynamic(const struct ncr_elf *elf, int64_t tag, unsigned nth, uint64_t *value) {
    const Elf64_Dyn *entry = elf->dynamic;
    for (size_t i = 0; i < elf->dynamic_count && entry[i].d_tag != DT_NULL; i++)
        if (entry[i].d_tag == tag && nth-- == 0) {
            *value = entry[i].d_un.d_val;
            return true;
        }
    return false;
}

/**
 * The name that the entry number `nth` with this tag (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH) gives, as a fresh string;
 * NULL if there is none. One read each: the table of all names can have 30 MB.
 */
char *ncr_elf_dynamic_name(const struct ncr_elf *elf, int64_t tag, unsigned nth) {
    uint64_t strings, size, name, offset;
    void *text;
    if (!ncr_elf_dynamic(elf, tag, nth, &name) || !ncr_elf_dynamic(elf, DT_STRTAB, 0, &strings) ||
        !ncr_elf_dynamic(elf, DT_STRSZ, 0, &size) || name >= size || !ncr_elf_offset(elf, strings, &offset))
        return NULL;
    size = size - name < MOST_NAME ? size - name : MOST_NAME;
    if (!ncr_elf_read(elf, &text, size, offset + name))
        return NULL;
    return text;
}

/* The number of symbols is not stored anywhere: the GNU hash table's longest chain ends at the last one. */
static uint64_t count_by_gnu_hash(const struct ncr_elf *elf, uint64_t offset) {
    enum { PIECE = 1024 };
    uint32_t head[4]; /* buckets, first hashed symbol, words of the bloom filter, shift */
    uint32_t last = 0;
    void *buckets;
    if (!ncr_elf_read_at(elf, head, sizeof head, offset) || head[0] == 0 || head[0] > MOST_SYMBOLS)
        return 0;
    uint64_t buckets_at = offset + sizeof head + (uint64_t)head[2] * 8, chains_at = buckets_at + (uint64_t)head[0] * 4;
    if (!ncr_elf_read(elf, &buckets, (uint64_t)head[0] * 4, buckets_at))
        return 0;
    for (uint32_t i = 0; i < head[0]; i++)
        last = ((uint32_t *)buckets)[i] > last ? ((uint32_t *)buckets)[i] : last;
    free(buckets);
    if (last < head[1])
        return head[1];
    uint32_t hash[PIECE];
    for (; last < MOST_SYMBOLS; last += PIECE) {
        uint64_t at = chains_at + (uint64_t)(last - head[1]) * 4;
        uint64_t left = (uint64_t)elf->status.st_size > at ? ((uint64_t)elf->status.st_size - at) / 4 : 0;
        size_t count = left < PIECE ? (size_t)left : PIECE;
        if (count == 0 || !ncr_elf_read_at(elf, hash, count * 4, at))
            return 0;
        for (size_t i = 0; i < count; i++)
            if (hash[i] & 1)
                return (uint64_t)last + i + 1;
    }
    return MOST_SYMBOLS + 1;
}

static uint64_t count_symbols(const struct ncr_elf *elf) {
    uint64_t offset, table;
    uint32_t head[2]; /* buckets, chains: as many chains as symbols */
    if (ncr_elf_dynamic(elf, DT_HASH, 0, &table) && ncr_elf_offset(elf, table, &offset) &&
        ncr_elf_read_at(elf, head, sizeof head, offset))
        return head[1];
    if (ncr_elf_dynamic(elf, DT_GNU_HASH, 0, &table) && ncr_elf_offset(elf, table, &offset))
        return count_by_gnu_hash(elf, offset);
    return 0;
}

/** Read the dynamic symbols and their names. False, with elf->refusal set, if the file has none that can be read. */
bool ncr_elf_load_symbols(struct ncr_elf *elf) {
    uint64_t strings, size, symbols, strings_at, symbols_at;
    if (elf->refusal)
        return false;
    uint64_t count = ncr_elf_load_dynamic(elf) ? count_symbols(elf) : 0;
    if (elf->refusal)
        return false;
    if (ncr_elf_dynamic(elf, DT_STRSZ, 0, &size) && size > NCR_ELF_MOST_TABLE)
        return refuse_size(elf, "table of names", size, NCR_ELF_MOST_TABLE);
    if (count > MOST_SYMBOLS)
        return refuse(elf,
                      ncr_path("has a broken symbol table (it claims more than %llu symbols; no library has so many)",
                               (unsigned long long)MOST_SYMBOLS));
    void *texts = NULL;
    if (count == 0 || !ncr_elf_dynamic(elf, DT_STRTAB, 0, &strings) || !ncr_elf_dynamic(elf, DT_STRSZ, 0, &size) ||
        !ncr_elf_dynamic(elf, DT_SYMTAB, 0, &symbols) || !ncr_elf_offset(elf, strings, &strings_at) ||
        !ncr_elf_offset(elf, symbols, &symbols_at) || !ncr_elf_read(elf, &texts, size, strings_at) ||
        !ncr_elf_read(elf, &elf->symbols, count * sizeof(Elf64_Sym), symbols_at)) {
        free(texts);
        return refuse(elf, ncr_copy("has no readable symbol table"));
    }
    elf->strings = texts;
    elf->strings_size = size;
    elf->symbol_count = count;
    return true;
}

/** Iterate over the names of exported symbols: start with *at = 0; NULL at the end. */
const char *ncr_elf_next_export(const struct ncr_elf *elf, size_t *at) {
    const Elf64_Sym *symbol = elf->symbols;
    while (*at < elf->symbol_count) {
        const Elf64_Sym *s = &symbol[(*at)++];
        unsigned bind = ELF64_ST_BIND(s->st_info);
        if (s->st_shndx != SHN_UNDEF && (bind == STB_GLOBAL || bind == STB_WEAK) && s->st_name < elf->strings_size)
            return elf->strings + s->st_name;
    }
    return NULL;
}

/** The SONAME of a library file as a fresh string, or NULL if it has none or is no library. */
char *ncr_elf_soname(const char *path) {
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    char *soname = ncr_elf_load_dynamic(&elf) ? ncr_elf_dynamic_name(&elf, DT_SONAME, 0) : NULL;
    ncr_elf_close(&elf);
    return soname;
}
