/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an executable will map at its start, found as the dynamic loader finds it (ld.so(8)): DT_NEEDED, breadth first,
 * by RPATH, LD_LIBRARY_PATH, RUNPATH, the loader's cache and the default folders.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define MOST_OBJECTS 512

/* The C library's own parts: they need no NCCL, and looking for them is most of the work in a small program. */
static bool is_of_libc(const char *name) {
    static const char *const parts[] = {"libc.so.",    "libm.so.", "libdl.so.",    "libpthread.so.", "librt.so.",
                                        "libutil.so.", "ld-linux", "libgcc_s.so.", "libstdc++.so."};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (ncr_begins(name, parts[i]))
            return true;
    return false;
}

static const char *locate(const char *name, const char *object_path, const struct elf_info *info) {
    const struct ncr_asker asker = {object_path, info->runpath ? NULL : info->rpath, info->runpath, NULL};
    struct ncr_ld_hit hit;
    if (strchr(name, '/'))
        return ncr_file_exists(name) ? formatted("%s", name) : NULL;
    return ncr_ld_search(name, &asker, NCR_LD_ALL, &hit) ? hit.path : NULL;
}

struct walk {
    struct ncr_object *objects;
    unsigned count;
    struct names seen;
};

static void add(struct walk *walk, const char *path, const struct elf_info *info) {
    struct ncr_object object = {.path = path,
                                .soname = info->soname,
                                .rpath = info->runpath ? NULL : info->rpath,
                                .runpath = info->runpath,
                                .needed = info->needed.list,
                                .needed_count = info->needed.count};
    for (unsigned i = 0; i < info->needed.count; i++)
        if (!object.needs_nccl && ncr_is_nccl_name(info->needed.list[i]))
            object.needs_nccl = info->needed.list[i];
    object.is_nccl = ncr_is_nccl_name(path) || (info->soname && ncr_is_nccl_name(info->soname));
    walk->objects = list_grow(walk->objects, walk->count, sizeof *walk->objects);
    walk->objects[walk->count++] = object;
}

/**
 * The executable and what it needs, in the loader's order. A library that is not found is left out: the loader will say
 * so.
 */
void dependencies(const char *executable, struct ncr_object **objects, unsigned *count) {
    struct walk walk = {NULL, 0, {NULL, 0}};
    struct elf_info info;
    elf_info_read(executable, ELF_BASICS, &info);
    if (info.is_elf)
        add(&walk, executable, &info);
    for (unsigned at = 0; at < walk.count && walk.count < MOST_OBJECTS; at++) {
        const char *path = walk.objects[at].path;
        if (at > 0)
            elf_info_read(path, ELF_BASICS, &info);
        struct elf_info parent = info;
        for (unsigned i = 0; i < parent.needed.count; i++) {
            const char *name = parent.needed.list[i];
            if (is_of_libc(name) || ncr_is_nccl_name(name) || names_have(&walk.seen, name))
                continue;
            names_add(&walk.seen, name);
            const char *found = locate(name, path, &parent);
            struct elf_info child;
            elf_info_read(found ? found : "", ELF_BASICS, &child);
            if (child.is_elf)
                add(&walk, found, &child);
        }
    }
    *objects = walk.objects;
    *count = walk.count;
}
