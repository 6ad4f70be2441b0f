/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loader reads with, and what it reads: strings that grow, the environment, files, ELF files, and what this process
 * has mapped. loader.h has the decision, and what holds for all of it.
 */
#ifndef NCR_READING_H
#define NCR_READING_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define NCR_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* ---- text.c: a string that grows ---- */

struct ncr_text {
    char *data; /* NUL-terminated once something was added, else NULL */
    size_t length;
    size_t room;
    bool lost; /* out of memory: the string says so and nothing else */
};

void ncr_text_add(struct ncr_text *text, const char *format, ...) NCR_PRINTF(2, 3);
void ncr_text_add_list(struct ncr_text *text, const char *format, va_list list) NCR_PRINTF(2, 0);
size_t ncr_text_printable(const char *text, size_t length);
void ncr_text_add_visible(struct ncr_text *text, const char *bytes, size_t length);
void ncr_text_free(struct ncr_text *text);
const char *ncr_text_get(const struct ncr_text *text); /* "" when empty */

/* ---- passing.c: temporary failures; memory ---- */

void ncr_passing_begin(void);
bool ncr_passing_note(int error);
void ncr_passing_note_message(const char *message);
int ncr_passing_noted(void);
unsigned ncr_passing_count(void);
void ncr_memory_note(void);
const char *ncr_lacking(void);
bool ncr_begins(const char *text, const char *prefix);
char *ncr_copy(const char *text);
char *ncr_copy_part(const char *text, size_t length);
void *ncr_allocate(size_t count, size_t size);
void *ncr_allocate_more(void *memory, size_t size);
char *ncr_print_list(const char *format, va_list list) NCR_PRINTF(1, 0);

/* ---- environment.c: as it was at the start, and as it is now ---- */

struct ncr_variables {
    char **list; /* "NAME=value" */
    size_t count;
};

void ncr_environment_note_start(void);
const char *ncr_environment(const char *name);
void ncr_variables_read_some(struct ncr_variables *variables, const char *const *prefixes);
void ncr_variables_read(struct ncr_variables *variables);
const char *ncr_variable(const struct ncr_variables *variables, const char *name);
void ncr_variables_free(struct ncr_variables *variables);

/* ---- file.c: file system calls, counted, and path building ---- */

void ncr_file_check_first(void);
int ncr_file_open(const char *path, struct stat *status);
bool ncr_file_read_at(int file, void *into, size_t size, uint64_t offset);
char *ncr_file_text(const char *path, size_t most);
bool ncr_file_status(const char *path, struct stat *status);
bool ncr_file_exists(const char *path);
bool ncr_file_is_executable(const char *path);
char *ncr_file_link(const char *path);
char *ncr_file_real(const char *path);
char *ncr_file_absolute(const char *path, const char *folder);
void ncr_file_names(const char *path, bool (*visit)(void *arg, const char *name), void *arg);
char *ncr_file_newest(const char *path, const char *prefix);
char *ncr_file_among(const char *path, const char *part, const char *inside);
char *ncr_path(const char *format, ...) NCR_PRINTF(1, 2);
char *ncr_parent(const char *path, unsigned levels);
const char *ncr_basename(const char *path);
unsigned ncr_file_calls(void);

/* ---- proc.c ---- */

size_t ncr_proc_read(const char *path, char *text, size_t size);
bool ncr_proc_line(const char *path, char *text, size_t size);
bool ncr_proc_stat(int pid, char *state, uint64_t *started);

/* ---- elf_file.c: what a library file says of itself, read without mapping it ---- */

#define NCR_VERSION_TEXT 32

/* Tables of a real library are far smaller (the largest known, libtorch_cuda's names of symbols: about 30 MB). */
#define NCR_ELF_MOST_TABLE ((uint64_t)128 << 20)

struct ncr_elf {
    int file;
    struct stat status;
    char *refusal; /* why it cannot be loaded on this machine, or NULL */
    char *head;    /* the first head_size bytes */
    size_t head_size;
    bool missing;      /* there is no such file */
    bool is_elf, wide; /* it has an ELF header; it is 64-bit */
    unsigned type;     /* ET_DYN, … */
    void *segments;    /* Elf64_Phdr */
    unsigned segment_count;
    void *dynamic; /* Elf64_Dyn, once loaded */
    size_t dynamic_count;
    char *strings; /* the dynamic string table, and the symbols (Elf64_Sym) that name into it, once loaded */
    size_t strings_size;
    void *symbols;
    size_t symbol_count;
    uint64_t section_table;
    unsigned section_count, section_names;
    void *sections, *section_texts; /* Elf64_Shdr and their names, once loaded */
    uint64_t section_texts_size;
    bool partly_searched; /* its constant data is larger than what is searched for the version */
};

void ncr_elf_open(struct ncr_elf *elf, const char *path);
void ncr_elf_open_any(struct ncr_elf *elf, const char *path);
void ncr_elf_close(struct ncr_elf *elf);
bool ncr_elf_read_at(const struct ncr_elf *elf, void *into, size_t size, uint64_t offset);
bool ncr_elf_read(const struct ncr_elf *elf, void **into, uint64_t size, uint64_t offset);

/* ---- elf_symbols.c ---- */

bool ncr_elf_offset(const struct ncr_elf *elf, uint64_t address, uint64_t *offset);
bool ncr_elf_load_dynamic(struct ncr_elf *elf);
bool ncr_elf_dynamic(const struct ncr_elf *elf, int64_t tag, unsigned nth, uint64_t *value);
char *ncr_elf_dynamic_name(const struct ncr_elf *elf, int64_t tag, unsigned nth);
bool ncr_elf_load_symbols(struct ncr_elf *elf);
const char *ncr_elf_next_export(const struct ncr_elf *elf, size_t *at);
char *ncr_elf_soname(const char *path);

/* ---- elf_links.c ---- */

struct ncr_links {
    char *nccl; /* the first DT_NEEDED that names one */
    char *rpath, *runpath;
};

void ncr_elf_links(struct ncr_elf *elf, struct ncr_links *links);
void ncr_links_free(struct ncr_links *links);

/* ---- elf_version.c ---- */

/*
 * At most so much of a file's constant data is searched: libtorch_cuda.so has 100 MB, no NCCL more than a tenth of
 * that.
 */
#define NCR_ELF_MOST_TEXT ((uint64_t)256 << 20)

bool ncr_elf_load_sections(struct ncr_elf *elf);
const char *ncr_elf_section_name(const struct ncr_elf *elf, unsigned number);
int ncr_elf_nccl_version(struct ncr_elf *elf, char text[NCR_VERSION_TEXT]);

/* ---- objects.c: what this process has mapped ---- */

struct ncr_object {
    const char *path; /* "" for the program itself */
    const char *soname;
    const char *rpath;          /* DT_RPATH, or NULL; counts only where there is no DT_RUNPATH */
    const char *runpath;        /* DT_RUNPATH, or NULL */
    const char *needs_nccl;     /* the NCCL among its DT_NEEDED, or NULL */
    bool is_nccl;               /* by file name or SONAME */
    uintptr_t base, start, end; /* what the addresses in the file are moved by, its memory; 0 where it is not mapped */
    const void *dynamic;        /* its dynamic section and the strings of it, where it is mapped */
    const char *strings;
    const char **needed; /* DT_NEEDED, where it is not mapped */
    unsigned needed_count;
    unsigned loader; /* in the list of a search: the place of the object that it was loaded by */
};

typedef bool ncr_object_visitor(void *arg, const struct ncr_object *object);

bool ncr_objects(ncr_object_visitor *visit, void *arg);
bool ncr_objects_need_nccl(void);
bool ncr_object_needs(const struct ncr_object *object, const char *soname);
bool ncr_is_nccl_name(const char *file_name);

bool ncr_object_at(const void *address, struct ncr_object *object);
char *ncr_object_path(const void *address);

/* ---- symbols.c: of an object that is mapped ---- */

struct ncr_symbols {
    uintptr_t base;
    const void *list; /* Elf64_Sym */
    const char *strings;
    const uint16_t *versions;
    const uint32_t *gnu_hash, *hash;
};

const void *ncr_dynamic_table(const void *dynamic, uintptr_t base, int64_t tag);
bool ncr_symbols_read(struct ncr_symbols *symbols, const void *dynamic, uintptr_t base);
uint32_t ncr_symbol_hash(const char *name);
void *ncr_symbols_find(const struct ncr_symbols *symbols, const char *name, uint32_t hash);

/* ---- scope.c: what it mapped at the start ---- */

enum { NCR_MOST_NAMES = 128 };

bool ncr_scope_note(void);
const char *ncr_scope_own_path(void);
const char *ncr_next_name(const char *name);
void ncr_scope_functions(const char *names, void *found[], unsigned count);

/* ---- build_id.c ---- */

char *ncr_build_id_of(const void *address);

#endif
