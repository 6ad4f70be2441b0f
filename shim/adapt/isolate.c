/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NCCL calls some of its public functions through its own procedure linkage table (19 of them in 2.28.9), and a
 * preloaded library catches those calls too. They are corrected in the library's global offset table after it was
 * opened, so that groups, tags and counts see the program's calls only. RTLD_DEEPBIND would do the same but defeats
 * malloc interposers and sanitizers.
 */
#include "adapt.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define JUMP_SLOT R_X86_64_JUMP_SLOT
#define GLOB_DAT R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define JUMP_SLOT R_AARCH64_JUMP_SLOT
#define GLOB_DAT R_AARCH64_GLOB_DAT
#endif

struct tables {
    const Elf64_Sym *symbols;
    const char *strings;
    struct {
        const Elf64_Rela *first;
        size_t size;  /* in bytes */
    } relocations[2]; /* of calls, of data */
    size_t relative;  /* so many of the data's come first and name no symbol */
    uintptr_t base;
    uintptr_t read_only_start, read_only_end; /* the pages that the loader has made so after relocating */
};

static uintptr_t page_size(void) {
    return (uintptr_t)sysconf(_SC_PAGESIZE);
}

static int find_tables(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    struct {
        uintptr_t inside;
        struct tables *tables;
    } *search = arg;
    const Elf64_Dyn *dynamic = NULL;
    bool here = false;
    uintptr_t relro = 0, relro_size = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr;
        here |= p->p_type == PT_LOAD && search->inside >= start && search->inside < start + p->p_memsz;
        if (p->p_type == PT_DYNAMIC)
            dynamic = (const Elf64_Dyn *)start;
        if (p->p_type == PT_GNU_RELRO) {
            relro = start;
            relro_size = p->p_memsz;
        }
    }
    if (!here || !dynamic)
        return 0;
    struct tables *t = search->tables;
    t->base = info->dlpi_addr;
    t->read_only_start = relro & ~(page_size() - 1);
    t->read_only_end = (relro + relro_size) & ~(page_size() - 1);
    for (const Elf64_Dyn *d = dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_SYMTAB)
            t->symbols = (const Elf64_Sym *)d->d_un.d_ptr;
        else if (d->d_tag == DT_STRTAB)
            t->strings = (const char *)d->d_un.d_ptr;
        else if (d->d_tag == DT_JMPREL)
            t->relocations[0].first = (const Elf64_Rela *)d->d_un.d_ptr;
        else if (d->d_tag == DT_PLTRELSZ)
            t->relocations[0].size = d->d_un.d_val;
        else if (d->d_tag == DT_RELA)
            t->relocations[1].first = (const Elf64_Rela *)d->d_un.d_ptr;
        else if (d->d_tag == DT_RELASZ)
            t->relocations[1].size = d->d_un.d_val;
        else if (d->d_tag == DT_RELACOUNT)
            t->relative = d->d_un.d_val;
    }
    return 1;
}

static void *own_function(const struct ncr_library *library, const char *name) {
    unsigned alias = name[0] == 'p';
    if (name[alias] != 'n' || !ncr_begins(name + alias, "nccl")) /* few of some 500 names begin so */
        return NULL;
    int row = ncr_row(name + alias);
    return row < 0 ? NULL : library->targets[2 * (unsigned)row + alias];
}

/* Two threads that bind at the same time do this to the same library, and one must not lock a page under the other. */
static struct ncr_mutex writing;

/* False if the system does not let a read-only page be changed. Under the lock. */
static bool set_slot(const struct tables *tables, uintptr_t *slot, void *address) {
    uintptr_t at = (uintptr_t)slot, page = at & ~(page_size() - 1);
    bool read_only = at >= tables->read_only_start && at < tables->read_only_end;
    if (*slot == (uintptr_t)address)
        return true;
    if (read_only && mprotect((void *)page, page_size(), PROT_READ | PROT_WRITE) != 0)
        return false;
    *slot = (uintptr_t)address;
    if (read_only)
        mprotect((void *)page, page_size(), PROT_READ);
    return true;
}

/* Returns false, with errno, where the table cannot be written. Under the lock. */
static bool isolate(const struct ncr_library *library, const struct tables *tables) {
    for (int i = 0; i < 2; i++) {
        const Elf64_Rela *r = tables->relocations[i].first;
        const Elf64_Rela *end = r ? r + tables->relocations[i].size / sizeof *r : r;
        if (r && i == 1)
            r += tables->relative;
        for (; r < end; r++) {
            uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
            if (type != JUMP_SLOT && type != GLOB_DAT)
                continue;
            const char *name = tables->strings + tables->symbols[ELF64_R_SYM(r->r_info)].st_name;
            void *own = own_function(library, name);
            if (own && !set_slot(tables, (uintptr_t *)(tables->base + r->r_offset), own))
                return false;
        }
    }
    return true;
}

/**
 * Point the library's references to its own public functions at itself. Only for a library that is an NCCL: in torch's
 * own library NCCL is linked in, and the calls through the table are torch's.
 */
void ncr_isolate(const struct ncr_library *library) {
    struct tables tables = {0};
    struct {
        uintptr_t inside;
        struct tables *tables;
    } search = {(uintptr_t)library->targets[0], &tables};
    if (ncr_begins(ncr_basename(library->backend.path), "libtorch") || !dl_iterate_phdr(find_tables, &search) ||
        !tables.symbols || !tables.strings)
        return;
    ncr_mutex_lock(&writing);
    bool done = isolate(library, &tables);
    int error = errno;
    ncr_mutex_unlock(&writing);
    if (!done)
        ncr_log(NCR_WARN,
                "%s: its global offset table cannot be written (%s); its calls to its own functions pass through "
                "preloaded libraries, and profilers count them twice",
                library->backend.path, strerror(error));
}
