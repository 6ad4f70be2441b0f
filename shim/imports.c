/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of the C library that are looked up when one of them is first called. Full RELRO has the dynamic loader look up
 * all that a library imports when a process starts, and most processes that inherit this one never use NCCL: the look-ups
 * were a third of what it cost them. The table is as well protected as the loader's own: it lies in the memory that the
 * loader made read-only, and is writable only while it is filled. dlsym is no way to fill it: it takes the loader's lock,
 * which a forked child may find held, and forgets the error that dlerror is to tell.
 *
 * Nothing here calls a function of imports.def.
 */
#include "shim.h"

#include <elf.h>
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define X(name) #name "\0"
static const char names[] =
#include "imports.def"
    ;
#undef X

#define X(name) +1
enum {
    IMPORTS =
#include "imports.def"
};
#undef X

_Static_assert((int)IMPORTS <= (int)NCR_MOST_NAMES, "NCR_MOST_NAMES");

/* In imports_*.S. */
extern __attribute__((visibility("hidden"))) _Atomic(void *) ncr_imports[IMPORTS];
void *ncr_import(unsigned index);

/* This library in memory; the linker defines it. */
extern __attribute__((visibility("hidden"))) const Elf64_Ehdr __ehdr_start;

/*
 * Only what the loader has made read-only, whole pages: the page in which that memory ends, and all of it where the linker
 * made none (-z norelro), has variables too. On Arm the linker may have thought of pages of 4 KiB where the kernel's are
 * of 64.
 */
static bool protect_table(int protection) {
    const Elf64_Phdr *segment = (const Elf64_Phdr *)((uintptr_t)&__ehdr_start + __ehdr_start.e_phoff);
    uintptr_t whole = ~(getauxval(AT_PAGESZ) - 1), start = (uintptr_t)ncr_imports & whole, end = 0;
    for (unsigned i = 0; i < __ehdr_start.e_phnum; i++)
        if (segment[i].p_type == PT_GNU_RELRO)
            end = ((uintptr_t)&__ehdr_start + segment[i].p_vaddr + segment[i].p_memsz) & whole;
    if (end > (uintptr_t)&ncr_imports[IMPORTS])
        end = (uintptr_t)&ncr_imports[IMPORTS];
    return start >= end || syscall(SYS_mprotect, start, end - start, protection) == 0;
}

/* By the one thread that comes first, without a lock; the others do without the table until it is filled. */
static void fill_table(void) {
    static atomic_flag begun = ATOMIC_FLAG_INIT;
    void *found[IMPORTS] = {NULL};
    if (atomic_flag_test_and_set(&begun))
        return;
    ncr_scope_functions(names, found, IMPORTS);
    if (!protect_table(PROT_READ | PROT_WRITE))
        return;
    for (int i = 0; i < IMPORTS; i++)
        atomic_store_explicit(&ncr_imports[i], found[i], memory_order_relaxed);
    protect_table(PROT_READ);
}

/* Asked by the stub of a function that is not in the table yet. */
void *ncr_import(unsigned index) {
    int error = errno;
    const char *name = names;
    void *function = NULL;
    fill_table();
    for (unsigned i = 0; i < index; i++)
        name = ncr_next_name(name);
    ncr_scope_functions(name, &function, 1);
    errno = error;
    return function;
}
