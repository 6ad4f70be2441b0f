/* SPDX-License-Identifier: Apache-2.0 */
/* The build-id of an opened library, from its notes in memory: two builds of one version differ in it. */
#include "loader.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct search {
    uintptr_t inside;
    struct ncr_text text;
};

static void add_hexadecimal(struct ncr_text *text, const unsigned char *bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    char piece[129];
    while (size > 0) {
        size_t count = size < sizeof piece / 2 ? size : sizeof piece / 2;
        for (size_t i = 0; i < count; i++) {
            piece[2 * i] = digits[bytes[i] >> 4];
            piece[2 * i + 1] = digits[bytes[i] & 15];
        }
        piece[2 * count] = '\0';
        ncr_text_add(text, "%s", piece);
        bytes += count;
        size -= count;
    }
}

static void read_notes(struct search *search, const char *notes, size_t size) {
    while (size >= sizeof(Elf64_Nhdr)) {
        const Elf64_Nhdr *note = (const Elf64_Nhdr *)notes;
        /* size_t: a size near 4 GiB, rounded up in 32 bits, would be 0 */
        size_t name = ((size_t)note->n_namesz + 3) / 4 * 4, value = ((size_t)note->n_descsz + 3) / 4 * 4;
        if (sizeof *note + name + value > size)
            return;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(note + 1, "GNU", 4) == 0)
            add_hexadecimal(&search->text, (const unsigned char *)(note + 1) + name, note->n_descsz);
        notes += sizeof *note + name + value;
        size -= sizeof *note + name + value;
    }
}

static int read_object(struct dl_phdr_info *info, size_t size, void *arg) {
    struct search *search = arg;
    bool here = false;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr;
        here |= p->p_type == PT_LOAD && search->inside >= start && search->inside < start + p->p_memsz;
    }
    for (unsigned i = 0; here && i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE)
            read_notes(search, (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
                       info->dlpi_phdr[i].p_memsz);
    return here;
}

/**
 * The build-id of the mapped library that has this address, in hexadecimal; a fresh string, or NULL if the file has none.
 */
char *ncr_build_id_of(const void *address) {
    struct search search = {.inside = (uintptr_t)address};
    dl_iterate_phdr(read_object, &search);
    return search.text.data;
}
