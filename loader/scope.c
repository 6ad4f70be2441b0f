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

NCR_EVERY_PROCESS static bool needs_nccl(const struct link_map *object) {
    const char *strings = ncr_dynamic_table(object->l_ld, object->l_addr, DT_STRTAB);
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

/**
 * The functions that references of these names reach from any object of the scope. `names` stand one behind the other,
 * each with its NUL, at most NCR_MOST_NAMES; found[i] is left alone where it is not NULL, or where there is no such function.
 */
void ncr_scope_functions(const char *names, void *found[], unsigned count) {
    struct {
        const char *name;
        uint32_t hash;
    } wanted[NCR_MOST_NAMES];
    for (unsigned i = 0; i < count; i++, names = ncr_next_name(names)) {
        wanted[i].name = names;
        wanted[i].hash = ncr_symbol_hash(names);
    }
    const struct link_map *object = first_object();
    for (unsigned i = 0; i < scope.count; i++, object = object->l_next) {
        struct ncr_symbols symbols;
        if (!object->l_ld || !ncr_symbols_read(&symbols, object->l_ld, object->l_addr))
            continue;
        for (unsigned j = 0; j < count; j++)
            if (!found[j])
                found[j] = ncr_symbols_find(&symbols, wanted[j].name, wanted[j].hash);
    }
}
