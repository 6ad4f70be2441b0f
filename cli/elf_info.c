/* A file by libelf: what it needs, what it has inside, and which NCCL it names. Files are mapped, and never run. */
#include "cli.h"

#include <fcntl.h>
#include <gelf.h>
#include <string.h>
#include <unistd.h>

void names_add(struct names *names, const char *name) {
    names->list = list_grow(names->list, names->count, sizeof *names->list);
    names->list[names->count++] = name;
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

/* The function that a symbol is or is the twin of (pncclSend is ncclSend), or NULL. */
static const char *function_of(const char *symbol) {
    if (!ncr_is_api_name(symbol))
        return NULL;
    return symbol[0] == 'p' ? symbol + 1 : symbol;
}

static void read_dynamic(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct elf_info *info) {
    Elf_Data *data = elf_getdata(section, NULL);
    size_t count = header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
    for (size_t i = 0; data && i < count; i++) {
        GElf_Dyn entry;
        if (!gelf_getdyn(data, (int)i, &entry) || entry.d_tag == DT_NULL)
            break;
        const char *text = elf_strptr(elf, header->sh_link, entry.d_un.d_val);
        if (!text)
            continue;
        if (entry.d_tag == DT_NEEDED)
            names_add(&info->needed, formatted("%s", text));
        else if (entry.d_tag == DT_SONAME)
            info->soname = formatted("%s", text);
        else if (entry.d_tag == DT_RUNPATH)
            info->runpath = formatted("%s", text);
        else if (entry.d_tag == DT_RPATH)
            info->rpath = formatted("%s", text);
    }
}

static void read_symbols(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct elf_info *info) {
    Elf_Data *data = elf_getdata(section, NULL);
    size_t count = header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
    for (size_t i = 1; data && i < count; i++) {
        GElf_Sym symbol;
        const char *name = gelf_getsym(data, (int)i, &symbol) ? elf_strptr(elf, header->sh_link, symbol.st_name) : NULL;
        if (name && strncmp(name, "ncclNetPlugin_v", 15) == 0 && symbol.st_shndx != SHN_UNDEF)
            add_once(&info->plugins, name);
        const char *function = name && (name[0] == 'n' || name[0] == 'p' || name[0] == 'm') ? function_of(name) : NULL;
        if (!function)
            continue;
        if (symbol.st_shndx == SHN_UNDEF)
            add_once(&info->wanted, function);
        else if (GELF_ST_TYPE(symbol.st_info) == STT_FUNC || GELF_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC) {
            add_once(&info->defined, function);
            if (header->sh_type == SHT_DYNSYM && GELF_ST_VISIBILITY(symbol.st_other) == STV_DEFAULT)
                add_once(&info->exported, function);
        }
    }
}

/* One piece of constant text: the name of a function to be looked up, or of a library to be opened. */
static void read_text(const char *text, size_t length, struct elf_info *info) {
    const char *function = length < 64 ? function_of(text) : NULL;
    if (function)
        add_once(&info->asked, function);
    else if (strncmp(text, "NCCL version 2.", 15) == 0 && strchr(text, '+') && !info->version_text)
        info->version_text = formatted("%.*s", (int)strcspn(text + 13, " "), text + 13);
    else if (strncmp(text, "ncclNetPlugin_v", 15) == 0)
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

static void read_texts(Elf_Scn *section, struct elf_info *info) {
    Elf_Data *data = elf_getdata(section, NULL);
    const char *at = data ? data->d_buf : NULL, *end = at ? at + data->d_size : NULL;
    /* Every text of interest holds one of these; texts end with a NUL. */
    while (at && at < end) {
        const char *hit = next_hit(at, end);
        if (!hit)
            return;
        const char *start = hit, *stop = memchr(hit, '\0', (size_t)(end - hit));
        if (!stop)
            return;
        while (start > at && start[-1] >= ' ' && start[-1] < 127)
            start--;
        read_text(start, (size_t)(stop - start), info);
        at = stop + 1;
    }
}

/*
 * Calls to NCCL functions that go through a table that the loader fills: another object's function can take their
 * place.
 */
static void read_relocations(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct elf_info *info) {
    Elf_Scn *symbols = elf_getscn(elf, header->sh_link);
    GElf_Shdr symbols_header;
    Elf_Data *data = elf_getdata(section, NULL), *table = symbols ? elf_getdata(symbols, NULL) : NULL;
    if (!data || !table || !gelf_getshdr(symbols, &symbols_header) || symbols_header.sh_type != SHT_DYNSYM)
        return;
    for (size_t i = 0; header->sh_entsize && i < header->sh_size / header->sh_entsize; i++) {
        GElf_Rela entry;
        GElf_Sym symbol;
        if (!gelf_getrela(data, (int)i, &entry) || !GELF_R_SYM(entry.r_info) ||
            !gelf_getsym(table, (int)GELF_R_SYM(entry.r_info), &symbol))
            continue;
        const char *name = elf_strptr(elf, symbols_header.sh_link, symbol.st_name);
        const char *function = name && strstr(name, "ccl") ? function_of(name) : NULL;
        if (function)
            add_once(&info->bound, function);
    }
}

static void read_build_id(Elf_Scn *section, struct elf_info *info) {
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Nhdr note;
    size_t name, description;
    for (size_t at = 0, next; data && (next = gelf_getnote(data, at, &note, &name, &description)) > 0; at = next) {
        if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || memcmp((char *)data->d_buf + name, "GNU", 4) != 0)
            continue;
        for (size_t i = 0; i < note.n_descsz && i < 32; i++)
            snprintf(info->build_id + 2 * i, 3, "%02x", ((unsigned char *)data->d_buf)[description + i]);
    }
}

static void read_section(Elf *elf, size_t names, Elf_Scn *section, int depth, struct elf_info *info) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header))
        return;
    const char *name = elf_strptr(elf, names, header.sh_name);
    if (header.sh_type == SHT_DYNAMIC)
        read_dynamic(elf, section, &header, info);
    else if (header.sh_type == SHT_NOTE)
        read_build_id(section, info);
    else if (depth >= ELF_SYMBOLS && (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB))
        read_symbols(elf, section, &header, info);
    else if (depth >= ELF_SYMBOLS && header.sh_type == SHT_RELA)
        read_relocations(elf, section, &header, info);
    else if (depth >= ELF_TEXTS && name && strncmp(name, ".rodata", 7) == 0 && header.sh_type == SHT_PROGBITS)
        read_texts(section, info);
}

static void read_elf(Elf *elf, int depth, struct elf_info *info) {
    GElf_Ehdr header;
    size_t names, segments;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
        return;
    info->is_elf = true;
    info->wide = header.e_ident[EI_CLASS] == ELFCLASS64;
    info->machine = header.e_machine;
    info->executable = header.e_type == ET_EXEC;
    if (elf_getphdrnum(elf, &segments) == 0)
        for (size_t i = 0; i < segments; i++) {
            GElf_Phdr segment;
            if (!gelf_getphdr(elf, (int)i, &segment))
                continue;
            info->dynamic |= segment.p_type == PT_INTERP || (header.e_type == ET_DYN && segment.p_type == PT_DYNAMIC);
            info->executable |= segment.p_type == PT_INTERP;
        }
    if (elf_getshdrstrndx(elf, &names) != 0)
        return;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));)
        read_section(elf, names, section, depth, info);
}

/** Read a file as far as `depth` asks for. info->is_elf stays false for anything that is no ELF file or unreadable. */
void elf_info_read(const char *path, int depth, struct elf_info *info) {
    *info = (struct elf_info){0};
    struct stat status;
    int file = ncr_file_open(path, &status);
    if (file < 0)
        return;
    elf_version(EV_CURRENT);
    Elf *elf = S_ISREG(status.st_mode) ? elf_begin(file, ELF_C_READ_MMAP, NULL) : NULL;
    if (elf) {
        read_elf(elf, depth, info);
        elf_end(elf);
    }
    close(file);
}
