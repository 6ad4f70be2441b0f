/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validating broken files: a small NCCL with bytes of its headers and tables changed, some thousand times, always the
 * same ones. A validation that trusts a number in the file reads outside of its tables or runs for ever; `make check
 * CFLAGS=-fsanitize=address` shows the first also where it does not crash. Files are validated, never opened: what the
 * dynamic loader makes of a library whose relocations are broken is its own affair.
 */
#include "support.h"
#include "loader.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned char *original;
static size_t size;
static const char *path;

static uint32_t next_random(void) {
    static uint32_t random = 2463534242; /* xorshift: the same sequence on every machine */
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    return random;
}

static int set_up(void **state) {
    (void)state;
    FILE *file = fopen(hostmem("plain"), "r");
    assert_non_null(file);
    original = malloc(1 << 22);
    size = fread(original, 1, 1 << 22, file);
    fclose(file);
    path = text("%s/libnccl.so.2", fresh_folder());
    return 0;
}

/* Written over what is there: emptying a file first makes some file systems wait for the disk. */
static void write_bytes(const unsigned char *bytes, size_t length) {
    int file = open(path, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(file, bytes, length), (ssize_t)length);
    assert_int_equal(ftruncate(file, (off_t)length), 0);
    close(file);
}

/* With a range constant data is read too, without one nothing but what the loader maps counts. */
static bool is_accepted(bool with_range) {
    struct ncr_config config = {.require_text = with_range ? "==2.28.9" : NULL, .require = {22809, 22810}};
    struct ncr_validation validation;
    ncr_validate(path, &config, &validation);
    bool accepted = validation.refusal == NULL;
    assert_false(validation.missing);
    ncr_validation_free(&validation);
    char *soname = ncr_elf_soname(path);
    free(soname);
    return accepted;
}

static size_t address_to_offset(uint64_t address) {
    const Elf64_Ehdr *header = (const void *)original;
    const Elf64_Phdr *segment = (const void *)(original + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == PT_LOAD && address - segment[i].p_vaddr < segment[i].p_filesz)
            return address - segment[i].p_vaddr + segment[i].p_offset;
    return 0;
}

/* Where the validation takes numbers from. */
static struct {
    const char *name;
    size_t at, length;
} parts[8];
static unsigned part_count;

static void add_part(const char *name, size_t at, size_t length) {
    assert_true(at + length <= size && length > 0);
    parts[part_count].name = name;
    parts[part_count].at = at;
    parts[part_count++].length = length;
}

static void find_parts(void) {
    const Elf64_Ehdr *header = (const void *)original;
    const Elf64_Phdr *segment = (const void *)(original + header->e_phoff);
    add_part("header", 0, sizeof *header);
    add_part("segments", header->e_phoff, (size_t)header->e_phnum * sizeof *segment);
    add_part("sections", header->e_shoff, (size_t)header->e_shnum * sizeof(Elf64_Shdr));
    for (int i = 0; i < header->e_phnum; i++) {
        if (segment[i].p_type != PT_DYNAMIC)
            continue;
        add_part("dynamic", segment[i].p_offset, segment[i].p_filesz);
        const Elf64_Dyn *d = (const void *)(original + segment[i].p_offset);
        for (; d->d_tag != DT_NULL; d++) {
            if (d->d_tag == DT_GNU_HASH)
                add_part("hash table", address_to_offset(d->d_un.d_ptr), 1024);
            if (d->d_tag == DT_SYMTAB)
                add_part("symbols", address_to_offset(d->d_un.d_ptr), 2048);
        }
    }
}

/* A byte, or eight bytes that make a number which is wrong in an interesting way. */
static void mutate(unsigned char *bytes, size_t at, size_t length) {
    static const uint64_t numbers[] = {0,          1,          0x7fffffff,     0x80000000,          0xffffffff,
                                       0xfffffff8, 0x10000000, UINT64_MAX / 2, UINT64_MAX - 0xffff, UINT64_MAX};
    size_t place = at + next_random() % length;
    if (next_random() % 2) {
        bytes[place] = (unsigned char)next_random();
        return;
    }
    uint64_t number = numbers[next_random() % (sizeof numbers / sizeof *numbers)];
    size_t width = (size_t)4 << next_random() % 2;
    place = at + next_random() % length / width * width;
    if (place + width <= size)
        memcpy(bytes + place, &number, width);
}

static void changed_numbers(void **state) {
    (void)state;
    unsigned char *bytes = malloc(size);
    find_parts();
    assert_true(part_count >= 6);
    for (unsigned part = 0; part < part_count; part++) {
        unsigned accepted = 0;
        for (int i = 0; i < 400; i++) {
            memcpy(bytes, original, size);
            for (uint32_t changes = 1 + next_random() % 4; changes > 0; changes--)
                mutate(bytes, parts[part].at, parts[part].length);
            write_bytes(bytes, size);
            accepted += is_accepted(true);
        }
        print_message("%3u of 400 accepted with changes in the %s\n", accepted, parts[part].name);
        assert_in_range(accepted, 0, 399); /* the changes do reach what is validated */
    }
    free(bytes);
}

static void every_length(void **state) {
    (void)state;
    const Elf64_Ehdr *header = (const void *)original;
    const Elf64_Phdr *segment = (const void *)(original + header->e_phoff);
    uint64_t end = 0;
    for (int i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == PT_LOAD && segment[i].p_offset + segment[i].p_filesz > end)
            end = segment[i].p_offset + segment[i].p_filesz;
    for (size_t length = 0; length < end; length += length < 8192 ? 61 : 1999) {
        write_bytes(original, length);
        assert_false(is_accepted(false));
    }
    write_bytes(original, end - 1);
    assert_false(is_accepted(false));
    write_bytes(original, size);
    assert_true(is_accepted(false));
}

static void random_bytes_behind_a_good_header(void **state) {
    (void)state;
    unsigned char *bytes = malloc(size);
    for (int i = 0; i < 100; i++) {
        memcpy(bytes, original, sizeof(Elf64_Ehdr));
        for (size_t at = sizeof(Elf64_Ehdr); at < size; at++)
            bytes[at] = (unsigned char)(next_random() >> 11);
        write_bytes(bytes, size);
        assert_false(is_accepted(false));
    }
    free(bytes);
}

/* ---- what a sparse file claims ---- */

/* Bytes that this process has read by system calls. */
static unsigned long long bytes_read(void) {
    unsigned long long read = 0;
    FILE *file = fopen("/proc/self/io", "r");
    if (!file || fscanf(file, "rchar: %llu", &read) != 1) {
        print_message("skipped: no /proc/self/io here\n");
        skip();
    }
    fclose(file);
    return read;
}

static void set_number(unsigned char *bytes, size_t at, uint64_t number, size_t width) {
    memcpy(bytes + at, &number, width);
}

static size_t dynamic_entry(int64_t tag) {
    const Elf64_Ehdr *header = (const void *)original;
    const Elf64_Phdr *segment = (const void *)(original + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++)
        for (size_t at = segment[i].p_offset; segment[i].p_type == PT_DYNAMIC; at += sizeof(Elf64_Dyn))
            if (((const Elf64_Dyn *)(const void *)(original + at))->d_tag == tag)
                return at;
    fail_msg("no entry %ld", (long)tag);
    return 0;
}

static uint64_t dynamic_value(int64_t tag) {
    uint64_t value;
    memcpy(&value, original + dynamic_entry(tag) + 8, sizeof value);
    return value;
}

enum { SPARSE = 20, GIGABYTE = 30 };

/* The last bucket of the hash table begins a chain in the hole: no chain ends there. */
static void claim_chain(unsigned char *bytes) {
    size_t at = address_to_offset(dynamic_value(DT_GNU_HASH));
    uint32_t head[4];
    memcpy(head, original + at, sizeof head);
    set_number(bytes, at + 16 + (size_t)head[2] * 8, size / 4 + 4096, 4);
}

static void claim_symbols(unsigned char *bytes) {
    size_t entry = dynamic_entry(DT_GNU_HASH);
    set_number(bytes, entry, DT_HASH, 8);
    set_number(bytes, address_to_offset(dynamic_value(DT_GNU_HASH)) + 4, 0x30000000, 4);
}

static void claim_names(unsigned char *bytes) {
    set_number(bytes, dynamic_entry(DT_STRSZ) + 8, (uint64_t)18 << GIGABYTE, 8);
}

static void claim_dynamic(unsigned char *bytes) {
    const Elf64_Ehdr *header = (const void *)original;
    const Elf64_Phdr *segment = (const void *)(original + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == PT_DYNAMIC)
            set_number(bytes, header->e_phoff + (size_t)i * sizeof *segment + offsetof(Elf64_Phdr, p_filesz),
                       (uint64_t)18 << GIGABYTE, 8);
}

/* All sections: the constant data, and the names of sections. */
static void claim_sections(unsigned char *bytes) {
    const Elf64_Ehdr *header = (const void *)original;
    const Elf64_Shdr *names = (const Elf64_Shdr *)(const void *)(original + header->e_shoff) + header->e_shstrndx;
    for (int i = 0; i < header->e_shnum; i++) {
        const Elf64_Shdr *section = (const Elf64_Shdr *)(const void *)(original + header->e_shoff) + i;
        if (strcmp((const char *)original + names->sh_offset + section->sh_name, ".rodata") == 0) {
            size_t at = header->e_shoff + (size_t)i * sizeof *section;
            set_number(bytes, at + offsetof(Elf64_Shdr, sh_offset), size + 4096, 8);
            set_number(bytes, at + offsetof(Elf64_Shdr, sh_size), (uint64_t)18 << GIGABYTE, 8);
        }
    }
}

static void claim_section_names(unsigned char *bytes) {
    const Elf64_Ehdr *header = (const void *)original;
    set_number(bytes, header->e_shoff + header->e_shstrndx * sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_size),
               (uint64_t)18 << GIGABYTE, 8);
}

static void what_a_sparse_file_claims_is_not_read(void **state) {
    (void)state;
    static const struct {
        const char *name;
        void (*claim)(unsigned char *bytes);
        const char *reason; /* or NULL: the file is an NCCL all the same */
    } claims[] = {
        {"a chain of symbols", claim_chain, "has a broken symbol table (it claims more than 4194304 symbols"},
        {"symbols", claim_symbols, "has a broken symbol table (it claims more than 4194304 symbols"},
        {"names of symbols", claim_names,
         "has a broken table of names (it claims 18432 MiB; no library has more than 128)"},
        {"a dynamic section", claim_dynamic,
         "has a broken dynamic section (it claims 18432 MiB; no library has more than 1)"},
        {"constant data", claim_sections, "has no version string in the first 256 MiB of its constant data"},
        {"names of sections", claim_section_names, "has no version string"},
    };
    unsigned char *bytes = malloc(size);
    struct ncr_config config = {.require_text = ">=2.0", .require = {20000, INT_MAX}};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        struct ncr_validation validation;
        memcpy(bytes, original, size);
        claims[i].claim(bytes);
        write_bytes(bytes, size);
        assert_int_equal(truncate(path, (off_t)SPARSE << GIGABYTE), 0);
        unsigned long long before = bytes_read();
        ncr_validate(path, &config, &validation);
        unsigned long long read = bytes_read() - before;
        print_message("%s: %llu MiB read: %s\n", claims[i].name, read >> 20, validation.refusal);
        assert_non_null(validation.refusal);
        assert_contains(validation.refusal, claims[i].reason);
        assert_true(read < (uint64_t)400 << 20);
        ncr_validation_free(&validation);
    }
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_numbers),
        cmocka_unit_test(every_length),
        cmocka_unit_test(random_bytes_behind_a_good_header),
        cmocka_unit_test(what_a_sparse_file_claims_is_not_read),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
