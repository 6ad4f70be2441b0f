/* SPDX-License-Identifier: Apache-2.0 */
/* The NCCL version that a library file carries as text, read without opening the library; and its sections. */
#include "loader.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define MOST_NAMES ((uint64_t)16 << 20)

/** Read the table of sections and their names; false if the file has none (they can be stripped). */
bool ncr_elf_load_sections(struct ncr_elf *elf) {
    if (elf->sections || elf->refusal || !elf->section_table || elf->section_count <= elf->section_names)
        return elf->sections != NULL;
    if (!ncr_elf_read(elf, &elf->sections, (uint64_t)elf->section_count * sizeof(Elf64_Shdr), elf->section_table))
        return false;
    if (!elf->sections) /* what ncr_elf_read() gave is there; the analyser does not see it */
        return false;
    const Elf64_Shdr *names = (const Elf64_Shdr *)elf->sections + elf->section_names;
    elf->section_texts_size = names->sh_size;
    if (names->sh_size <= MOST_NAMES && ncr_elf_read(elf, &elf->section_texts, names->sh_size, names->sh_offset))
        return true;
    free(elf->sections);
    elf->sections = NULL;
    return false;
}

/** The name of a section, by its number. */
const char *ncr_elf_section_name(const struct ncr_elf *elf, unsigned number) {
    const Elf64_Shdr *section = (const Elf64_Shdr *)elf->sections + number;
    return section->sh_name < elf->section_texts_size ? (const char *)elf->section_texts + section->sh_name : "";
}

static bool read_only_data(struct ncr_elf *elf, uint64_t *offset, uint64_t *size) {
    const Elf64_Shdr *section = ncr_elf_load_sections(elf) ? elf->sections : NULL;
    for (unsigned i = 0; section && i < elf->section_count; i++)
        if (strcmp(ncr_elf_section_name(elf, i), ".rodata") == 0) {
            *offset = section[i].sh_offset;
            elf->partly_searched = section[i].sh_size > NCR_ELF_MOST_TEXT;
            *size = elf->partly_searched ? NCR_ELF_MOST_TEXT : section[i].sh_size;
            return true;
        }
    return false;
}

/* "2.28.9+cuda13.0" at the start of `at`, up to a space or the end. */
static void copy_version(const char *at, char text[NCR_VERSION_TEXT]) {
    size_t length = 0;
    for (; length < NCR_VERSION_TEXT - 1 && at[length] > ' ' && at[length] < 127; length++)
        text[length] = at[length];
    text[length] = '\0';
}

/* Look for the string in one piece, which ends with a NUL. */
static int version_in(const char *piece, size_t length, char text[NCR_VERSION_TEXT]) {
    static const char mark[] = "CCL version ";
    int version = 0;
    const char *end;
    for (const char *at = piece; (at = memmem(at, length - (size_t)(at - piece), mark, sizeof mark - 1)); at++) {
        const char *number = at + sizeof mark - 1;
        number += strspn(number, ": ");
        if (at == piece || (at[-1] != 'N' && at[-1] != 'R') || !ncr_version_parse(number, &version, &end))
            continue;
        if (text)
            copy_version(number, text);
        return version;
    }
    return 0;
}

/**
 * The NCCL version that the file carries in its text "NCCL version 2.28.9+cuda13.0", as major * 10000 + minor * 100 +
 * patch, and "2.28.9+cuda13.0" into `text` (which may be NULL); 0 if there is none. RCCL writes "RCCL version :
 * 2.26.6". The file is searched piece by piece in its constant data. The text stands near the start, but
 * libtorch_cuda.so has 100 MB of that, so pieces grow; a file that claims terabytes is not read to its end.
 */
int ncr_elf_nccl_version(struct ncr_elf *elf, char text[NCR_VERSION_TEXT]) {
    enum { FIRST_PIECE = 1 << 16, MOST_PIECE = 1 << 24, OVERLAP = 64 };
    uint64_t offset = 0, size = 0, length;
    int version = 0;
    if (!read_only_data(elf, &offset, &size))
        return 0;
    uint64_t most = FIRST_PIECE;
    for (uint64_t done = 0; done < size && version == 0; done += most, most += most < MOST_PIECE ? most : 0) {
        void *piece;
        length = size - done < most + OVERLAP ? size - done : most + OVERLAP;
        if (!ncr_elf_read(elf, &piece, length, offset + done))
            break;
        version = version_in(piece, (size_t)length, text);
        free(piece);
    }
    return version;
}
