/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects that the dynamic loader mapped at the start, in the order in which it searches them for symbols. They stay
 * mapped, and nothing that they say of themselves changes: so they can be read at any time, without the loader's lock,
 * and without touching the error that dlerror tells.
 *
 * The loader's list goes on with the objects that dlopen has brought, some of them before our constructor, and those may
 * be closed at any time. So a search ends where all is found: that is in the C library, which is there from the start.
 *
 * Some programs have no DT_DEBUG (tcc, lld -z rodynamic), and a library in another link-map namespace (dlmopen) is not in
 * the program's list. There the loader is asked, under its lock.
 */
#include "every_process.h"
#include "loader.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

/* Written by the constructor. */
NCR_EVERY_PROCESS_DATA static struct {
    bool noted;
    const struct link_map *first; /* NULL: ask the loader */
    const char *own_path;         /* the loader's name of this library */
} scope;

/* The program's own DT_DEBUG leads to the loader's list: gABI leaves it to debuggers, glibc and musl fill it in. */
NCR_EVERY_PROCESS static const struct link_map *loaders_list(const struct dl_phdr_info *program) {
    const Elf64_Dyn *dynamic = NULL;
    for (unsigned i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const Elf64_Dyn *)(program->dlpi_addr + program->dlpi_phdr[i].p_vaddr);
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

/* Called by the loader, for the program alone: under its lock no other thread closes an object of the list. */
NCR_EVERY_PROCESS static int note(struct dl_phdr_info *program, size_t size, void *needed) {
    const struct link_map *first = loaders_list(program);
    (void)size;
    for (const struct link_map *object = first; object; object = object->l_next) {
        if (object->l_ld == _DYNAMIC)
            scope.own_path = object->l_name;
        if (object->l_ld && needs_nccl(object))
            *(bool *)needed = true;
    }
    scope.first = scope.own_path ? first : NULL;
    return true;
}

/** For the constructor: note where the objects are. Returns whether one of them is linked with an NCCL. */
NCR_EVERY_PROCESS bool ncr_scope_note(void) {
    bool needed = false;
    dl_iterate_phdr(note, &needed);
    scope.noted = true;
    return scope.first ? needed : ncr_objects_need_nccl();
}

/* Another library's constructor may call NCCL before ours has run. */
static const struct link_map *first_object(void) {
    if (!scope.noted)
        ncr_scope_note();
    return scope.first;
}

/** The loader's name of this library; NULL if it has none. */
const char *ncr_scope_own_path(void) {
    struct ncr_object self;
    if (first_object())
        return scope.own_path;
    return ncr_object_at(_DYNAMIC, &self) ? self.path : NULL;
}

struct search {
    struct {
        const char *name;
        uint32_t hash;
    } wanted[NCR_MOST_NAMES];
    void **found;
    unsigned count;
};

/* Returns whether all is found. */
static bool look_in(void *arg, const struct ncr_object *object) {
    struct search *search = arg;
    struct ncr_symbols symbols;
    bool all = true;
    /* The kernel's object (vdso) is in the list, but the loader does not search it: it has a clock_gettime of its own. */
    if (!object->dynamic || (object->base && object->base == getauxval(AT_SYSINFO_EHDR)) ||
        !ncr_symbols_read(&symbols, object->dynamic, object->base))
        return false;
    for (unsigned i = 0; i < search->count; i++) {
        if (!search->found[i])
            search->found[i] = ncr_symbols_find(&symbols, search->wanted[i].name, search->wanted[i].hash);
        all = all && search->found[i];
    }
    return all;
}

/**
 * The functions that references of these names reach from any object of the scope. `names` stand one behind the other,
 * each with its NUL, at most NCR_MOST_NAMES; found[i] is left alone where it is not NULL, or where there is no such
 * function.
 */
void ncr_scope_functions(const char *names, void *found[], unsigned count) {
    struct search search;
    search.found = found;
    search.count = count;
    for (unsigned i = 0; i < count; i++, names = ncr_next_name(names)) {
        search.wanted[i].name = names;
        search.wanted[i].hash = ncr_symbol_hash(names);
    }
    const struct link_map *object = first_object();
    if (!object)
        ncr_objects(look_in, &search);
    while (object && !look_in(&search, &(struct ncr_object){.base = object->l_addr, .dynamic = object->l_ld}))
        object = object->l_next;
}
