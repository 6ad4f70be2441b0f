/* SPDX-License-Identifier: Apache-2.0 */
/* A file by the loader's own reader: what it needs, what it has inside, and which NCCL it names. Files are never run. */
#include "cli.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

void names_add(struct names *names, const char *name) {
    names->list = list_grow(names->list, names->count, sizeof *names->list);
    names->list[names->count++] = name;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** By the bytes of the names. */
void names_sort(struct names *names) {
    if (names->count)
        qsort(names->list, names->count, sizeof *names->list, by_name);
}

bool names_have(const struct names *names, const char *name) {
    for (unsigned i = 0; i < names->count; i++)
        if (strcmp(names->list[i], name) == 0)
            return true;
    return false;
}

static void add_once(struct names *names, const char *name) {
    if (!names_have(names, name))
        names_add(names, formatted("%s", name));
}

/* The function that a symbol is, or whose profiling alias it is (pncclSend is ncclSend), or NULL. */
static const char *function_of(const char *symbol) {
    if (!ncr_is_api_name(symbol))
        return NULL;
    return symbol[0] == 'p' ? symbol + 1 : symbol;
}

/* ---- dynamic section, notes ---- */

static void read_dynamic(struct ncr_elf *elf, struct elf_info *info) {
    if (!ncr_elf_load_dynamic(elf))
        return;
    info->soname = ncr_elf_dynamic_name(elf, DT_SONAME, 0);
    info->runpath = ncr_elf_dynamic_name(elf, DT_RUNPATH, 0);
    info->rpath = ncr_elf_dynamic_name(elf, DT_RPATH, 0);
    for (char *name; (name = ncr_elf_dynamic_name(elf, DT_NEEDED, info->needed.count));)
        names_add(&info->needed, name);
}

static void read_segments(const struct ncr_elf *elf, struct elf_info *info) {
    const Elf64_Phdr *segment = elf->segments;
    info->executable = elf->type == ET_EXEC;
    for (unsigned i = 0; i < elf->segment_count; i++) {
        info->dynamic |= segment[i].p_type == PT_INTERP || (elf->type == ET_DYN && segment[i].p_type == PT_DYNAMIC);
        if (segment[i].p_type != PT_INTERP)
            continue;
        void *interpreter;
        info->executable = true;
        if (segment[i].p_filesz < 4096 && ncr_elf_read(elf, &interpreter, segment[i].p_filesz, segment[i].p_offset))
            info->interpreter = interpreter;
    }
}

/* The notes of one segment: size of name, size of description, kind, name, description; each padded to four bytes. */
static void read_notes(const unsigned char *notes, size_t size, struct elf_info *info) {
    Elf64_Nhdr head;
    for (size_t at = 0; at + sizeof head <= size;) {
        memcpy(&head, notes + at, sizeof head);
        size_t name = at + sizeof head, text = name + ((size_t)head.n_namesz + 3) / 4 * 4;
        size_t next = text + ((size_t)head.n_descsz + 3) / 4 * 4;
        if (next > size || next <= at)
            return;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && memcmp(notes + name, "GNU", 4) == 0)
            for (size_t i = 0; i < head.n_descsz && i < 32; i++)
                snprintf(info->build_id + 2 * i, 3, "%02x", notes[text + i]);
        at = next;
    }
}

static void read_build_id(const struct ncr_elf *elf, struct elf_info *info) {
    const Elf64_Phdr *segment = elf->segments;
    for (unsigned i = 0; i < elf->segment_count && !*info->build_id; i++) {
        void *notes;
        if (segment[i].p_type != PT_NOTE || segment[i].p_filesz > 1 << 16 ||
            !ncr_elf_read(elf, &notes, segment[i].p_filesz, segment[i].p_offset))
            continue;
        read_notes(notes, segment[i].p_filesz, info);
        free(notes);
    }
}

/* ---- symbols ---- */

static void take_symbol(const Elf64_Sym *symbol, const char *name, bool exports, struct elf_info *info) {
    unsigned kind = ELF64_ST_TYPE(symbol->st_info);
    if (is_plugin_interface(name) && symbol->st_shndx != SHN_UNDEF)
        add_once(&info->plugins, name);
    const char *function = *name == 'n' || *name == 'p' || *name == 'm' ? function_of(name) : NULL;
    if (!function)
        return;
    if (symbol->st_shndx == SHN_UNDEF) {
        add_once(&info->wanted, function);
    } else if (kind == STT_FUNC || kind == STT_GNU_IFUNC) {
        add_once(&info->defined, function);
        if (exports && ELF64_ST_VISIBILITY(symbol->st_other) == STV_DEFAULT)
            add_once(&info->exported, function);
    }
}

static void take_symbols(const Elf64_Sym *symbols, size_t count, const char *names, size_t size, bool exports,
                         struct elf_info *info) {
    for (size_t i = 1; i < count; i++)
        if (symbols[i].st_name < size)
            take_symbol(&symbols[i], names + symbols[i].st_name, exports, info);
}

/* The table for debuggers, which a program that is linked statically has alone; it can be stripped. */
static void read_symbol_table(struct ncr_elf *elf, const Elf64_Shdr *section, struct elf_info *info) {
    const Elf64_Shdr *names = (const Elf64_Shdr *)elf->sections + section->sh_link;
    void *symbols, *texts;
    if (section->sh_link >= elf->section_count || !ncr_elf_read(elf, &symbols, section->sh_size, section->sh_offset))
        return;
    if (ncr_elf_read(elf, &texts, names->sh_size, names->sh_offset)) {
        take_symbols(symbols, section->sh_size / sizeof(Elf64_Sym), texts, names->sh_size, false, info);
        free(texts);
    }
    free(symbols);
}

static void read_symbols(struct ncr_elf *elf, struct elf_info *info) {
    if (info->dynamic && ncr_elf_load_symbols(elf))
        take_symbols(elf->symbols, elf->symbol_count, elf->strings, elf->strings_size, true, info);
    const Elf64_Shdr *section = ncr_elf_load_sections(elf) ? elf->sections : NULL;
    for (unsigned i = 0; section && i < elf->section_count; i++)
        if (section[i].sh_type == SHT_SYMTAB)
            read_symbol_table(elf, &section[i], info);
}

/*
 * Calls to NCCL functions that go through a table that the loader fills: another object's function can take their place.
 */
static void read_relocations(struct ncr_elf *elf, int64_t table, int64_t size_tag, struct elf_info *info) {
    const Elf64_Sym *symbols = elf->symbols;
    uint64_t address, size, offset;
    void *entries;
    if (!ncr_elf_dynamic(elf, table, 0, &address) || !ncr_elf_dynamic(elf, size_tag, 0, &size) ||
        !ncr_elf_offset(elf, address, &offset) || !ncr_elf_read(elf, &entries, size, offset))
        return;
    const Elf64_Rela *entry = entries;
    for (size_t i = 0; i < size / sizeof *entry; i++) {
        size_t number = ELF64_R_SYM(entry[i].r_info);
        if (number == 0 || number >= elf->symbol_count || symbols[number].st_name >= elf->strings_size)
            continue;
        const char *name = elf->strings + symbols[number].st_name;
        const char *function = strstr(name, "ccl") ? function_of(name) : NULL;
        if (function)
            add_once(&info->bound, function);
    }
    free(entries);
}

/* ---- constant texts ---- */

/* One piece of constant text: the name of a function to be looked up, or of a library to be opened. */
static void take_text(const char *text, size_t length, struct elf_info *info) {
    const char *function = length < 64 ? function_of(text) : NULL;
    if (function)
        add_once(&info->asked, function);
    else if (ncr_begins(text, "NCCL version 2.") && strchr(text, '+') && !info->version_text)
        info->version_text = formatted("%.*s", (int)strcspn(text + 13, " "), text + 13);
    else if (is_plugin_interface(text))
        add_once(&info->plugins, text);
    else if (length < 512 && ncr_is_nccl_name(text) && !strchr(text, ' ') && !strchr(text, '%'))
        add_once(&info->opened, text);
}

/* The next "ccl" (nccl, rccl, mscclpp) or "NCCL version ". */
static const char *next_hit(const char *at, const char *end) {
    const char *lower = memmem(at, (size_t)(end - at), "ccl", 3);
    const char *upper = memmem(at, (size_t)((lower ? lower : end) - at), "NCCL version ", 13);
    return upper ? upper : lower;
}

/* Every text of interest holds one of these; texts end with a NUL, as the piece does. */
static void take_texts(const char *at, const char *end, struct elf_info *info) {
    for (const char *hit; at < end && (hit = next_hit(at, end));) {
        const char *start = hit, *stop = hit + strlen(hit);
        while (start > at && start[-1] >= ' ' && start[-1] < 127)
            start--;
        take_text(start, (size_t)(stop - start), info);
        at = stop + 1;
    }
}

/* Piece by piece: texts of interest are shorter than what two pieces share. `left` is how much may still be read. */
static void read_texts(const struct ncr_elf *elf, uint64_t offset, uint64_t size, uint64_t *left,
                       struct elf_info *info) {
    enum { PIECE = 8 << 20, SHARED = 1024 };
    info->cut |= size > *left;
    size = size < *left ? size : *left;
    *left -= size;
    for (uint64_t done = 0; done < size; done += PIECE) {
        uint64_t length = size - done < PIECE + SHARED ? size - done : PIECE + SHARED;
        void *piece;
        if (!ncr_elf_read(elf, &piece, length, offset + done))
            return;
        take_texts(piece, (const char *)piece + length, info);
        free(piece);
    }
}

/* The sections of constant data; where the table of sections is stripped, all that is mapped. */
static void read_all_texts(struct ncr_elf *elf, struct elf_info *info) {
    const Elf64_Shdr *section = ncr_elf_load_sections(elf) ? elf->sections : NULL;
    const Elf64_Phdr *segment = elf->segments;
    uint64_t left = NCR_ELF_MOST_TEXT;
    for (unsigned i = 0; section && i < elf->section_count; i++)
        if (section[i].sh_type == SHT_PROGBITS && ncr_begins(ncr_elf_section_name(elf, i), ".rodata"))
            read_texts(elf, section[i].sh_offset, section[i].sh_size, &left, info);
    for (unsigned i = 0; !section && i < elf->segment_count; i++)
        if (segment[i].p_type == PT_LOAD)
            read_texts(elf, segment[i].p_offset, segment[i].p_filesz, &left, info);
}

/** Read a file as far as `depth` asks for. info->is_elf stays false for anything that is no ELF file or unreadable. */
void elf_info_read(const char *path, int depth, struct elf_info *info) {
    struct ncr_elf elf;
    *info = (struct elf_info){0};
    ncr_elf_open_any(&elf, path);
    info->is_elf = elf.is_elf;
    info->wide = elf.wide;
    if (!elf.refusal) {
        read_segments(&elf, info);
        read_dynamic(&elf, info);
        read_build_id(&elf, info);
    }
    if (!elf.refusal && depth >= ELF_SYMBOLS) {
        read_symbols(&elf, info);
        read_relocations(&elf, DT_JMPREL, DT_PLTRELSZ, info);
        read_relocations(&elf, DT_RELA, DT_RELASZ, info);
    }
    if (!elf.refusal && depth >= ELF_TEXTS)
        read_all_texts(&elf, info);
    ncr_elf_close(&elf);
}
