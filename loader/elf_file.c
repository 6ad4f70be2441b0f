/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a file a complete library for this machine? Read with pread, never mapped (a file that shrinks meanwhile would
 * raise SIGBUS), never executed. Only 64-bit little-endian ELF is read, since that is all this process could load.
 * Whatever size a file claims for a part of itself, no more is read than real libraries have: anybody can make a sparse
 * file of terabytes.
 */
#include "loader.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_MACHINE EM_X86_64
#define THIS_MACHINE_NAME "x86-64"
#elif defined(__aarch64__)
#define THIS_MACHINE EM_AARCH64
#define THIS_MACHINE_NAME "aarch64"
#else
#error "nccl-redirect has entry trampolines for x86-64 and aarch64 only"
#endif

#define MOST_SEGMENTS 256

static void refuse(struct ncr_elf *elf, const char *why) {
    free(elf->refusal);
    elf->refusal = ncr_copy(why);
}

/* The start of the file is read once and kept: in an NCCL it holds all the tables that are asked for. */
#define HEAD_SIZE ((size_t)16 << 10)

/** A piece of the file into memory of the caller. */
bool ncr_elf_read_at(const struct ncr_elf *elf, void *into, size_t size, uint64_t offset) {
    if (offset > elf->head_size || size > elf->head_size - offset)
        return ncr_file_read_at(elf->file, into, size, offset);
    memcpy(into, elf->head + offset, size);
    return true;
}

static void read_head(struct ncr_elf *elf) {
    uint64_t file_size = (uint64_t)elf->status.st_size;
    size_t size = file_size < HEAD_SIZE ? (size_t)file_size : HEAD_SIZE;
    elf->head = ncr_allocate_more(NULL, size);
    if (elf->head && ncr_file_read_at(elf->file, elf->head, size, 0))
        elf->head_size = size;
}

/** A piece of the file with a NUL behind it, for free(); false if the file does not have it. */
bool ncr_elf_read(const struct ncr_elf *elf, void **into, uint64_t size, uint64_t offset) {
    uint64_t file_size = (uint64_t)elf->status.st_size;
    if (size == 0 || size > NCR_ELF_MOST_TABLE || offset > file_size || size > file_size - offset)
        return false;
    *into = ncr_allocate_more(NULL, size + 1); /* not cleared: all of it is written */
    if (*into && ncr_elf_read_at(elf, *into, size, offset)) {
        ((char *)*into)[size] = '\0';
        return true;
    }
    free(*into);
    *into = NULL;
    return false;
}

static const char *kind_problem(const struct stat *status) {
    if (S_ISDIR(status->st_mode))
        return "is a directory; name the libnccl.so.2 inside it";
    if (!S_ISREG(status->st_mode))
        return "is not a regular file";
    return status->st_size == 0 ? "is an empty file" : NULL;
}

static const char *library_problem(const Elf64_Ehdr *header) {
    if (header->e_machine != THIS_MACHINE)
        return "is built for another CPU, this one is " THIS_MACHINE_NAME;
    return header->e_type != ET_DYN ? "is not a shared library" : NULL;
}

static void read_header(struct ncr_elf *elf, Elf64_Ehdr *header, bool any) {
    if (!ncr_elf_read_at(elf, header, sizeof *header, 0) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        refuse(elf, elf->status.st_size < (off_t)sizeof *header ? "is too short for a library"
                                                                : "is not a library (no ELF header)");
        return;
    }
    elf->is_elf = true;
    elf->wide = header->e_ident[EI_CLASS] == ELFCLASS64;
    elf->type = header->e_type;
    const char *problem = any ? NULL : library_problem(header);
    if (!elf->wide)
        refuse(elf, "is a 32-bit library, this process is 64-bit");
    else if (header->e_ident[EI_DATA] != ELFDATA2LSB)
        refuse(elf, "is built for another CPU, this one is " THIS_MACHINE_NAME);
    else if (problem)
        refuse(elf, problem);
    else if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 || header->e_phnum > MOST_SEGMENTS)
        refuse(elf, "has a broken ELF header");
}

static void read_segments(struct ncr_elf *elf, const Elf64_Ehdr *header) {
    if (!ncr_elf_read(elf, &elf->segments, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr), header->e_phoff)) {
        refuse(elf, "is truncated");
        return;
    }
    elf->segment_count = header->e_phnum;
    elf->section_table = header->e_shentsize == sizeof(Elf64_Shdr) ? header->e_shoff : 0;
    elf->section_count = header->e_shnum;
    elf->section_names = header->e_shstrndx;
    const Elf64_Phdr *segment = elf->segments;
    for (unsigned i = 0; i < elf->segment_count; i++)
        if (segment[i].p_type == PT_LOAD && segment[i].p_filesz > 0 &&
            (segment[i].p_offset > (uint64_t)elf->status.st_size ||
             segment[i].p_filesz > (uint64_t)elf->status.st_size - segment[i].p_offset))
            refuse(elf, "is truncated (an interrupted copy or download?)");
}

static void open_elf(struct ncr_elf *elf, const char *path, bool any) {
    *elf = (struct ncr_elf){.file = -1};
    elf->file = ncr_file_open(path, &elf->status);
    if (elf->file < 0) {
        elf->missing = errno == ENOENT || errno == ENOTDIR;
        elf->refusal = elf->missing ? ncr_copy("does not exist") : ncr_path("cannot be read (%s)", strerror(errno));
        return;
    }
    const char *problem = kind_problem(&elf->status);
    if (problem) {
        refuse(elf, problem);
        return;
    }
    Elf64_Ehdr header;
    read_head(elf);
    read_header(elf, &header, any);
    if (!elf->refusal)
        read_segments(elf, &header);
}

/**
 * Open a library file and check that the loader could map it. On a refusal elf->refusal says why, in words that follow
 * the file's name. Always pair with ncr_elf_close().
 */
void ncr_elf_open(struct ncr_elf *elf, const char *path) {
    open_elf(elf, path, false);
}

/**
 * The same for any ELF file, including programs and files for other CPUs; of a 32-bit file only that it is one is
 * recorded.
 */
void ncr_elf_open_any(struct ncr_elf *elf, const char *path) {
    open_elf(elf, path, true);
}

void ncr_elf_close(struct ncr_elf *elf) {
    if (elf->file >= 0)
        close(elf->file);
    free(elf->refusal);
    free(elf->head);
    free(elf->strings);
    free(elf->symbols);
    free(elf->segments);
    free(elf->dynamic);
    free(elf->sections);
    free(elf->section_texts);
    *elf = (struct ncr_elf){.file = -1};
}
