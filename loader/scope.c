/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects that the dynamic loader mapped at the start, in the order in which it searches them for symbols. They stay
 * mapped, and nothing that they say of themselves changes: so they can be read at any time, without the loader's lock,
 * and without touching the error that dlerror tells.
 */
#include "every_process.h"
#include "loader.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

/* Written by the constructor. */
NCR_EVERY_PROCESS_DATA static struct {
    const struct link_map *first;
    unsigned count;
} scope;

/* The program's own DT_DEBUG leads to the loader's list: gABI leaves it to debuggers, glibc and musl fill it in. */
NCR_EVERY_PROCESS static const struct link_map *loaders_list(void) {
    const Elf64_Phdr *segment = (const Elf64_Phdr *)getauxval(AT_PHDR), *end = segment + getauxval(AT_PHNUM);
    const Elf64_Dyn *dynamic = NULL;
    uintptr_t base = 0;
    for (const Elf64_Phdr *s = segment; s && s < end; s++) {
        if (s->p_type == PT_PHDR)
            base = (uintptr_t)segment - s->p_vaddr;
        if (s->p_type == PT_DYNAMIC)
            dynamic = (const Elf64_Dyn *)(base + s->p_vaddr);
    }
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == DT_DEBUG && dynamic->d_un.d_ptr)
            return ((const struct r_debug *)dynamic->d_un.d_ptr)->r_map;
    return NULL;
}

/* glibc has relocated these addresses in place; other loaders, and the vdso, have not. */
NCR_EVERY_PROCESS static const void *table(const struct link_map *object, Elf64_Sxword tag) {
    for (const Elf64_Dyn *d = object->l_ld; d->d_tag != DT_NULL; d++)
        if (d->d_tag == tag)
            return (const void *)(d->d_un.d_ptr < object->l_addr ? object->l_addr + d->d_un.d_ptr : d->d_un.d_ptr);
    return NULL;
}

NCR_EVERY_PROCESS static bool needs_nccl(const struct link_map *object) {
    const char *strings = table(object, DT_STRTAB);
    for (const Elf64_Dyn *d = object->l_ld; strings && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED && ncr_is_nccl_name(strings + d->d_un.d_val))
            return true;
    return false;
}

/** In names that stand one behind the other: the next one. */
const char *ncr_next_name(const char *name) {
    while (*name)
        name++;
    return name + 1;
}

/** For the constructor: note the objects. Returns whether one of them is linked with an NCCL. */
NCR_EVERY_PROCESS bool ncr_scope_note(void) {
    bool needed = false;
    unsigned count = 0;
    const struct link_map *first = loaders_list();
    for (const struct link_map *object = first; object; object = object->l_next) {
        count++;
        if (object->l_ld && needs_nccl(object))
            needed = true;
    }
    scope.first = first;
    scope.count = count;
    return needed;
}

/* Another library's constructor may call NCCL before ours has run. */
static const struct link_map *first_object(void) {
    if (!scope.first)
        ncr_scope_note();
    return scope.first;
}

/** The loader's name of the object with this dynamic section; NULL if it is not in the scope. */
const char *ncr_scope_path(const void *dynamic) {
    const struct link_map *object = first_object();
    for (unsigned i = 0; i < scope.count; i++, object = object->l_next)
        if (object->l_ld == dynamic)
            return object->l_name;
    return NULL;
}

/* ---- symbols ---- */

struct symbols {
    uintptr_t base;
    const Elf64_Sym *list;
    const char *strings;
    const Elf64_Half *versions;
    const uint32_t *gnu_hash, *hash;
};

/* Nothing here calls a function of the C library: this is how those are found (shim/imports.c). */
static bool is_same(const char *a, const char *b) {
    for (; *a && *a == *b; b++)
        a++;
    return *a == *b;
}

/* The version that a reference without one gets is the default: the others are marked as hidden. */
static bool matches(const struct symbols *symbols, uint32_t index, const char *name) {
    const Elf64_Sym *symbol = &symbols->list[index];
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    return symbol->st_shndx != SHN_UNDEF && ELF64_ST_BIND(symbol->st_info) != STB_LOCAL &&
           (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) &&
           !(symbols->versions && symbols->versions[index] & 0x8000) &&
           is_same(symbols->strings + symbol->st_name, name);
}

static uint32_t gnu_hash(const char *name) {
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static const Elf64_Sym *find_by_gnu_hash(const struct symbols *symbols, const char *name) {
    const uint32_t *head = symbols->gnu_hash; /* buckets, first hashed symbol, words of the bloom filter, shift */
    const uint32_t *buckets = head + 4 + head[2] * (sizeof(Elf64_Addr) / 4), *chains = buckets + head[0];
    uint32_t wanted = gnu_hash(name), index = head[0] > 0 ? buckets[wanted % head[0]] : 0;
    for (; index >= head[1] && index != 0; index++) {
        uint32_t hash = chains[index - head[1]];
        if ((hash | 1) == (wanted | 1) && matches(symbols, index, name))
            return &symbols->list[index];
        if (hash & 1)
            break;
    }
    return NULL;
}

static const Elf64_Sym *find_one_by_one(const struct symbols *symbols, const char *name) {
    for (uint32_t index = 1; index < symbols->hash[1]; index++) /* buckets, symbols */
        if (matches(symbols, index, name))
            return &symbols->list[index];
    return NULL;
}

static bool read_tables(struct symbols *symbols, const struct link_map *object) {
    *symbols = (struct symbols){.base = object->l_addr,
                                .list = table(object, DT_SYMTAB),
                                .strings = table(object, DT_STRTAB),
                                .versions = table(object, DT_VERSYM),
                                .gnu_hash = table(object, DT_GNU_HASH),
                                .hash = table(object, DT_HASH)};
    return symbols->list && symbols->strings && (symbols->gnu_hash || symbols->hash);
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

static void *find(const struct symbols *symbols, const char *name) {
    const Elf64_Sym *symbol = symbols->gnu_hash ? find_by_gnu_hash(symbols, name) : find_one_by_one(symbols, name);
    uintptr_t address = symbol ? symbols->base + symbol->st_value : 0;
    return symbol && ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC ? choose(address) : (void *)address;
}

/**
 * The functions that references of these names reach from any object of the scope. `names` stand one behind the other,
 * each with its NUL; found[i] is left alone where it is not NULL, or where there is no such function.
 */
void ncr_scope_functions(const char *names, void *found[], unsigned count) {
    const struct link_map *object = first_object();
    for (unsigned i = 0; i < scope.count; i++, object = object->l_next) {
        struct symbols symbols;
        if (!object->l_ld || !read_tables(&symbols, object))
            continue;
        const char *name = names;
        for (unsigned j = 0; j < count; j++, name = ncr_next_name(name))
            if (!found[j])
                found[j] = find(&symbols, name);
    }
}
