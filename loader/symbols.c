/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The symbols of an object that the dynamic loader has mapped, read from memory. No lock is taken, dlerror tells what it
 * told before, and no function of the C library is called: this is how those are found (shim/imports.c). The object must
 * stay mapped.
 */
#include "every_process.h"
#include "loader.h"

#include <elf.h>
#include <sys/auxv.h>

/** The address of a table in the dynamic section of a mapped object, or NULL. glibc has relocated these addresses in
 * place; other loaders, and the vdso, have not. */
NCR_EVERY_PROCESS const void *ncr_dynamic_table(const void *dynamic, uintptr_t base, int64_t tag) {
    for (const Elf64_Dyn *d = dynamic; d->d_tag != DT_NULL; d++)
        if (d->d_tag == tag)
            return (const void *)(d->d_un.d_ptr < base ? base + d->d_un.d_ptr : d->d_un.d_ptr);
    return NULL;
}

/** Find the tables; false if the object has none. */
bool ncr_symbols_read(struct ncr_symbols *symbols, const void *dynamic, uintptr_t base) {
    *symbols = (struct ncr_symbols){.base = base,
                                    .list = ncr_dynamic_table(dynamic, base, DT_SYMTAB),
                                    .strings = ncr_dynamic_table(dynamic, base, DT_STRTAB),
                                    .versions = ncr_dynamic_table(dynamic, base, DT_VERSYM),
                                    .gnu_hash = ncr_dynamic_table(dynamic, base, DT_GNU_HASH),
                                    .hash = ncr_dynamic_table(dynamic, base, DT_HASH)};
    return symbols->list && symbols->strings && (symbols->gnu_hash || symbols->hash);
}

static bool is_same(const char *a, const char *b) {
    for (; *a && *a == *b; b++)
        a++;
    return *a == *b;
}

/* The version that a reference without one gets is the default: the others are marked as hidden. */
static bool matches(const struct ncr_symbols *symbols, uint32_t index, const char *name) {
    const Elf64_Sym *symbol = (const Elf64_Sym *)symbols->list + index;
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    return symbol->st_shndx != SHN_UNDEF && ELF64_ST_BIND(symbol->st_info) != STB_LOCAL &&
           (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) &&
           !(symbols->versions && symbols->versions[index] & 0x8000) &&
           is_same(symbols->strings + symbol->st_name, name);
}

/** The hash of a name in DT_GNU_HASH. */
uint32_t ncr_symbol_hash(const char *name) {
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static const Elf64_Sym *find_by_gnu_hash(const struct ncr_symbols *symbols, const char *name, uint32_t wanted) {
    const uint32_t *head = symbols->gnu_hash; /* buckets, first hashed symbol, words of the bloom filter, shift */
    const uint64_t *bloom = (const uint64_t *)(head + 4);
    const uint32_t *buckets = (const uint32_t *)(bloom + head[2]), *chains = buckets + head[0];
    uint64_t word = bloom[wanted / 64 & (head[2] - 1)];
    if (!(word >> wanted % 64 & word >> (wanted >> head[3]) % 64 & 1) || head[0] == 0)
        return NULL;
    uint32_t index = buckets[wanted % head[0]];
    for (; index >= head[1] && index != 0; index++) {
        uint32_t hash = chains[index - head[1]];
        if ((hash | 1) == (wanted | 1) && matches(symbols, index, name))
            return (const Elf64_Sym *)symbols->list + index;
        if (hash & 1)
            break;
    }
    return NULL;
}

static const Elf64_Sym *find_one_by_one(const struct ncr_symbols *symbols, const char *name) {
    for (uint32_t index = 1; index < symbols->hash[1]; index++) /* buckets, symbols */
        if (matches(symbols, index, name))
            return (const Elf64_Sym *)symbols->list + index;
    return NULL;
}

/* An indirect function names the one that suits the CPU. What AArch64 hands to it is glibc's <sys/ifunc.h>. */
static void *choose(uintptr_t resolver) {
#ifdef __aarch64__
    struct {
        unsigned long size, hwcap, hwcap2;
    } arg = {sizeof arg, getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
    return ((void *(*)(uint64_t, const void *))resolver)(arg.hwcap | (uint64_t)1 << 62, &arg);
#else
    return ((void *(*)(void))resolver)();
#endif
}

/** The function of this name and hash that the object defines, in its default version; or NULL. */
void *ncr_symbols_find(const struct ncr_symbols *symbols, const char *name, uint32_t hash) {
    const Elf64_Sym *symbol =
        symbols->gnu_hash ? find_by_gnu_hash(symbols, name, hash) : find_one_by_one(symbols, name);
    uintptr_t address = symbol ? symbols->base + symbol->st_value : 0;
    return symbol && ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC ? choose(address) : (void *)address;
}
