/*
 * What a library file says of itself: is it a whole library of this machine, its SONAME, its exports. Read with pread,
 * never mapped (a file that shrinks meanwhile would raise SIGBUS), never executed. Only 64-bit little-endian ELF is
 * read, since that is all this process could load.
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

/* Tables of a real library are far smaller (libtorch_cuda's symbols: about 30 MB); a larger size is a broken file. */
#define MOST_TABLE (256u << 20)
#define MOST_SEGMENTS 256

static void refuse(struct ncr_elf *elf, const char *why) {
    free(elf->refusal);
    elf->refusal = strdup(why);
}

/* The start of the file is read once and kept: in a NCCL it holds all the tables that are asked for. */
#define HEAD_SIZE ((size_t)16 << 10)

static bool read_at(const struct ncr_elf *elf, void *into, size_t size, uint64_t offset) {
    if (offset > elf->head_size || size > elf->head_size - offset)
        return ncr_file_read_at(elf->file, into, size, offset);
    memcpy(into, elf->head + offset, size);
    return true;
}

static void read_head(struct ncr_elf *elf) {
    uint64_t file_size = (uint64_t)elf->status.st_size;
    size_t size = file_size < HEAD_SIZE ? (size_t)file_size : HEAD_SIZE;
    elf->head = malloc(size);
    if (elf->head && ncr_file_read_at(elf->file, elf->head, size, 0))
        elf->head_size = size;
}

/** A piece of the file with a NUL behind it, for free(); false if the file does not have it. */
bool ncr_elf_read(const struct ncr_elf *elf, void **into, uint64_t size, uint64_t offset) {
    uint64_t file_size = (uint64_t)elf->status.st_size;
    if (size == 0 || size > MOST_TABLE || offset > file_size || size > file_size - offset)
        return false;
    *into = malloc(size + 1);
    if (*into && read_at(elf, *into, size, offset)) {
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

static void read_header(struct ncr_elf *elf, Elf64_Ehdr *header) {
    if (!read_at(elf, header, sizeof *header, 0) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        refuse(elf, elf->status.st_size < (off_t)sizeof *header ? "is too short for a library"
                                                                : "is not a library (no ELF header)");
    else if (header->e_ident[EI_CLASS] != ELFCLASS64)
        refuse(elf, "is a 32-bit library, this process is 64-bit");
    else if (header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_machine != THIS_MACHINE)
        refuse(elf, "is built for another CPU, this one is " THIS_MACHINE_NAME);
    else if (header->e_type != ET_DYN)
        refuse(elf, "is not a shared library");
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
    elf->sections = header->e_shnum;
    elf->section_names = header->e_shstrndx;
    const Elf64_Phdr *segment = elf->segments;
    for (unsigned i = 0; i < elf->segment_count; i++)
        if (segment[i].p_type == PT_LOAD && segment[i].p_filesz > 0 &&
            (segment[i].p_offset > (uint64_t)elf->status.st_size ||
             segment[i].p_filesz > (uint64_t)elf->status.st_size - segment[i].p_offset))
            refuse(elf, "is truncated (an interrupted copy or download?)");
}

/**
 * Open a library file and check that the loader could map it. On a refusal elf->refusal says why, in words that follow
 * the file's name. Always pair with ncr_elf_close().
 */
void ncr_elf_open(struct ncr_elf *elf, const char *path) {
    *elf = (struct ncr_elf){.file = -1};
    elf->file = ncr_file_open(path, &elf->status);
    if (elf->file < 0) {
        elf->missing = errno == ENOENT || errno == ENOTDIR;
        elf->refusal = elf->missing ? strdup("does not exist") : ncr_path("cannot be read (%s)", strerror(errno));
        return;
    }
    const char *problem = kind_problem(&elf->status);
    if (problem) {
        refuse(elf, problem);
        return;
    }
    Elf64_Ehdr header;
    read_head(elf);
    read_header(elf, &header);
    if (!elf->refusal)
        read_segments(elf, &header);
}

void ncr_elf_close(struct ncr_elf *elf) {
    if (elf->file >= 0)
        close(elf->file);
    free(elf->refusal);
    free(elf->head);
    free(elf->strings);
    free(elf->symbols);
    free(elf->segments);
    *elf = (struct ncr_elf){.file = -1};
}

static bool file_offset(const struct ncr_elf *elf, uint64_t address, uint64_t *offset) {
    const Elf64_Phdr *segment = elf->segments;
    for (unsigned i = 0; i < elf->segment_count; i++)
        if (segment[i].p_type == PT_LOAD && address >= segment[i].p_vaddr &&
            address - segment[i].p_vaddr < segment[i].p_filesz) {
            *offset = address - segment[i].p_vaddr + segment[i].p_offset;
            return true;
        }
    return false;
}

struct dynamic {
    uint64_t strings, strings_size, symbols, gnu_hash, hash, soname;
    bool has_soname;
};

static bool read_dynamic(const struct ncr_elf *elf, struct dynamic *found) {
    const Elf64_Phdr *segment = elf->segments;
    for (unsigned i = 0; segment && i < elf->segment_count; i++) {
        void *table;
        if (segment[i].p_type != PT_DYNAMIC || !ncr_elf_read(elf, &table, segment[i].p_filesz, segment[i].p_offset))
            continue;
        size_t count = segment[i].p_filesz / sizeof(Elf64_Dyn);
        const Elf64_Dyn *d = table;
        for (size_t j = 0; j < count && d[j].d_tag != DT_NULL; j++) {
            uint64_t value = d[j].d_un.d_val;
            switch (d[j].d_tag) {
            case DT_STRTAB:
                found->strings = value;
                break;
            case DT_STRSZ:
                found->strings_size = value;
                break;
            case DT_SYMTAB:
                found->symbols = value;
                break;
            case DT_GNU_HASH:
                found->gnu_hash = value;
                break;
            case DT_HASH:
                found->hash = value;
                break;
            case DT_SONAME:
                found->soname = value;
                found->has_soname = true;
                break;
            default:
                break;
            }
        }
        free(table);
        return true;
    }
    return false;
}

/* The number of symbols stands nowhere: the GNU hash table's longest chain ends at the last one. */
static uint64_t count_by_gnu_hash(const struct ncr_elf *elf, uint64_t offset) {
    uint32_t head[4]; /* buckets, first hashed symbol, words of the bloom filter, shift */
    if (!read_at(elf, head, sizeof head, offset) || head[0] == 0)
        return 0;
    uint64_t buckets_at = offset + sizeof head + (uint64_t)head[2] * 8, chains_at = buckets_at + (uint64_t)head[0] * 4;
    void *table;
    if (!ncr_elf_read(elf, &table, (uint64_t)head[0] * 4, buckets_at))
        return 0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < head[0]; i++)
        last = ((uint32_t *)table)[i] > last ? ((uint32_t *)table)[i] : last;
    free(table);
    if (last < head[1])
        return head[1];
    uint32_t hash[64];
    for (;; last += 64) {
        uint64_t at = chains_at + (uint64_t)(last - head[1]) * 4;
        uint64_t left = (uint64_t)elf->status.st_size > at ? ((uint64_t)elf->status.st_size - at) / 4 : 0;
        size_t count = left < 64 ? (size_t)left : 64;
        if (count == 0 || !read_at(elf, hash, count * 4, at))
            return 0;
        for (size_t i = 0; i < count; i++)
            if (hash[i] & 1)
                return (uint64_t)last + i + 1;
    }
}

static uint64_t count_symbols(const struct ncr_elf *elf, const struct dynamic *d) {
    uint64_t offset;
    uint32_t head[2]; /* buckets, chains: as many chains as symbols */
    if (d->hash && file_offset(elf, d->hash, &offset) && read_at(elf, head, sizeof head, offset))
        return head[1];
    if (d->gnu_hash && file_offset(elf, d->gnu_hash, &offset))
        return count_by_gnu_hash(elf, offset);
    return 0;
}

/** Read SONAME and symbols. False, with elf->refusal set, if the file has none that can be read. */
bool ncr_elf_load_symbols(struct ncr_elf *elf) {
    struct dynamic d = {0};
    uint64_t strings_at, symbols_at, count;
    void *strings = NULL;
    if (elf->refusal)
        return false;
    if (!read_dynamic(elf, &d) || !file_offset(elf, d.strings, &strings_at) ||
        !file_offset(elf, d.symbols, &symbols_at) || (count = count_symbols(elf, &d)) == 0 ||
        !ncr_elf_read(elf, &strings, d.strings_size, strings_at) ||
        !ncr_elf_read(elf, &elf->symbols, count * sizeof(Elf64_Sym), symbols_at)) {
        free(strings);
        refuse(elf, "has no readable symbol table");
        return false;
    }
    elf->strings = strings;
    elf->strings_size = d.strings_size;
    elf->symbol_count = count;
    elf->soname = d.has_soname && d.soname < d.strings_size ? elf->strings + d.soname : NULL;
    return true;
}

/** Iterate over the names of exported symbols: start with *at = 0; NULL at the end. */
const char *ncr_elf_next_export(const struct ncr_elf *elf, size_t *at) {
    const Elf64_Sym *symbol = elf->symbols;
    while (*at < elf->symbol_count) {
        const Elf64_Sym *s = &symbol[(*at)++];
        unsigned bind = ELF64_ST_BIND(s->st_info);
        if (s->st_shndx != SHN_UNDEF && (bind == STB_GLOBAL || bind == STB_WEAK) && s->st_name < elf->strings_size)
            return elf->strings + s->st_name;
    }
    return NULL;
}

/** The SONAME of a library file as a fresh string, or NULL if it has none or is no library. */
char *ncr_elf_soname(const char *path) {
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    char *soname = ncr_elf_load_symbols(&elf) && elf.soname ? strdup(elf.soname) : NULL;
    ncr_elf_close(&elf);
    return soname;
}
