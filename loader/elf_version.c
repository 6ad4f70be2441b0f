/* The NCCL version that a library file carries as text, read without opening the library. */
#include "loader.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

static bool read_only_data(const struct ncr_elf *elf, uint64_t *offset, uint64_t *size) {
    void *sections = NULL, *names = NULL;
    bool found = false;
    if (elf->section_table && elf->sections > elf->section_names &&
        ncr_elf_read(elf, &sections, (uint64_t)elf->sections * sizeof(Elf64_Shdr), elf->section_table)) {
        const Elf64_Shdr *s = sections, *n = &s[elf->section_names];
        if (ncr_elf_read(elf, &names, n->sh_size, n->sh_offset))
            for (unsigned i = 0; i < elf->sections && !found; i++)
                if (s[i].sh_name < n->sh_size && strcmp((char *)names + s[i].sh_name, ".rodata") == 0) {
                    *offset = s[i].sh_offset;
                    *size = s[i].sh_size;
                    found = true;
                }
    }
    free(names);
    free(sections);
    return found;
}

/* "2.28.9+cuda13.0" at the start of `at`, up to a space or the end. */
static void copy_version(const char *at, char text[NCR_VERSION_TEXT]) {
    size_t length = 0;
    for (; length < NCR_VERSION_TEXT - 1 && at[length] > ' ' && at[length] < 127; length++)
        text[length] = at[length];
    text[length] = '\0';
}

/* Looks for the text in one piece, which has a NUL behind it. */
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
int ncr_elf_nccl_version(const struct ncr_elf *elf, char text[NCR_VERSION_TEXT]) {
    enum { FIRST_PIECE = 1 << 16, MOST_PIECE = 1 << 24, OVERLAP = 64, MOST = 256 << 20 };
    uint64_t offset = 0, size = 0, length;
    int version = 0;
    if (!read_only_data(elf, &offset, &size))
        return 0;
    size = size < MOST ? size : MOST;
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
