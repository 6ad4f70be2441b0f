/* SPDX-License-Identifier: Apache-2.0 */
/* What this process has mapped already, read from memory: no file is touched. */
#include "every_process.h"
#include "loader.h"

#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

/** Is this the file name (or SONAME) of an NCCL or RCCL? Plugins (libnccl-net.so and the like) are not. */
NCR_EVERY_PROCESS bool ncr_is_nccl_name(const char *file_name) {
    const char *base = ncr_basename(file_name);
    return ncr_begins(base, "lib") && (base[3] == 'n' || base[3] == 'r') && ncr_begins(base + 4, "ccl.so");
}

struct walk {
    ncr_object_visitor *visit;
    void *arg;
};

static void read_dynamic(struct ncr_object *object, const ElfW(Dyn) * dynamic, uintptr_t base) {
    const char *strings = ncr_dynamic_table(dynamic, base, DT_STRTAB);
    if (!strings)
        return;
    object->dynamic = dynamic;
    object->strings = strings;
    for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
        const char *text = strings + d->d_un.d_val;
        if (d->d_tag == DT_SONAME)
            object->soname = text;
        else if (d->d_tag == DT_RUNPATH)
            object->runpath = text;
        else if (d->d_tag == DT_RPATH)
            object->rpath = text;
        else if (d->d_tag == DT_NEEDED && !object->needs_nccl && ncr_is_nccl_name(text))
            object->needs_nccl = text;
    }
    if (object->runpath) /* the loader then leaves out DT_RPATH */
        object->rpath = NULL;
}

static int visit_object(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    const struct walk *walk = arg;
    const ElfW(Dyn) *dynamic = NULL;
    struct ncr_object object = {
        .path = info->dlpi_name ? info->dlpi_name : "", .base = info->dlpi_addr, .start = UINTPTR_MAX};
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)start;
        if (segment->p_type != PT_LOAD)
            continue;
        object.start = start < object.start ? start : object.start;
        object.end = start + segment->p_memsz > object.end ? start + segment->p_memsz : object.end;
    }
    if (dynamic)
        read_dynamic(&object, dynamic, info->dlpi_addr);
    object.is_nccl = ncr_is_nccl_name(object.path) || (object.soname && ncr_is_nccl_name(object.soname));
    return walk->visit(walk->arg, &object);
}

/** Visit every mapped object, in the loader's order, until the visitor returns true; returns what it returned last. */
bool ncr_objects(ncr_object_visitor *visit, void *arg) {
    struct walk walk = {visit, arg};
    return dl_iterate_phdr(visit_object, &walk) != 0;
}

static bool needs_nccl(void *arg, const struct ncr_object *object) {
    (void)arg;
    return object->needs_nccl;
}

/** Is the program, or a library that it has loaded, linked with an NCCL? */
bool ncr_objects_need_nccl(void) {
    return ncr_objects(needs_nccl, NULL);
}

static bool take(void *arg, const struct ncr_object *object) {
    *(struct ncr_object *)arg = *object;
    return true;
}

struct finding {
    uintptr_t address;
    struct ncr_object *object;
};

static int take_if_there(struct dl_phdr_info *info, size_t size, void *arg) {
    struct finding *finding = arg;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && finding->address >= start && finding->address - start < segment->p_memsz) {
            struct walk walk = {take, finding->object};
            return visit_object(info, size, &walk);
        }
    }
    return 0;
}

/** The mapped object that has this address; false if none has. */
bool ncr_object_at(const void *address, struct ncr_object *object) {
    struct finding finding = {(uintptr_t)address, object};
    return dl_iterate_phdr(take_if_there, &finding) != 0;
}

/** The file that is mapped at this address, as the dynamic loader names it; a fresh string, or NULL. */
char *ncr_object_path(const void *address) {
    struct ncr_object object;
    return ncr_object_at(address, &object) && *object.path ? ncr_copy(object.path) : NULL;
}

/** Is the object linked with the library of this SONAME? */
bool ncr_object_needs(const struct ncr_object *object, const char *soname) {
    const ElfW(Dyn) *d = object->dynamic;
    for (; d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED && strcmp(object->strings + d->d_un.d_val, soname) == 0)
            return true;
    for (unsigned i = 0; i < object->needed_count; i++)
        if (strcmp(object->needed[i], soname) == 0)
            return true;
    return false;
}
