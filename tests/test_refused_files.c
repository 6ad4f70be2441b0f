/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that cannot be used: named, each is an error with the path and one reason; in a searched place, each is passed
 * over and the next candidate is used. Nothing crashes, waits or prints on stdout.
 */
#include "trees.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bad {
    const char *path, *reason;
    bool named_only; /* in a searched place it counts as not there */
};

static struct bad files[64];
static unsigned count;

static const char *add(const char *reason) {
    files[count].path = text("%s/libnccl.so.2", fresh_folder());
    files[count].reason = reason;
    return files[count++].path;
}

/* A real, small NCCL with other bytes at one place of its ELF header. */
static void add_with_byte(size_t offset, unsigned char value, const char *reason) {
    const char *path = add(reason);
    copy_file(hostmem("plain"), path, -1);
    int file = open(path, O_WRONLY);
    assert_int_equal(pwrite(file, &value, 1, (off_t)offset), 1);
    close(file);
}

/* The same with a name in its string table that is replaced by one of the same length. */
static void add_with_name(const char *before, const char *after, const char *reason) {
    const char *path = add(reason);
    copy_file(hostmem("plain"), path, -1);
    FILE *file = fopen(path, "r+");
    static char content[1 << 20];
    size_t size = fread(content, 1, sizeof content, file);
    char *at = memmem(content, size, before, strlen(before) + 1);
    assert_non_null(at);
    fseek(file, at - content, SEEK_SET);
    fputs(after, file);
    fclose(file);
}

static void add_kinds(void) {
    make_folder(add("is a directory; name the libnccl.so.2 inside it"));
    assert_int_equal(mkfifo(add("is not a regular file"), 0644), 0);
    make_link("/dev/zero", add("is not a regular file"));
    write_file(add("is an empty file"), "");
    write_file(add("is too short for a library"), "hello\n");
    write_file(add("is not a library (no ELF header)"),
               "/* GNU ld script: a text file that is called like a library, and so found "
               "*/\nGROUP(libnccl.so.2)\n");
    const char *loop = add("cannot be read (Too many levels of symbolic links)");
    make_link(loop, loop);
    make_link("gone.so", add("is a link to gone.so, which does not exist"));
    files[count - 1].named_only = true;
    files[count++] = (struct bad){text("%s/none/libnccl.so.2", fresh_folder()), "does not exist", true};
    files[count++] = (struct bad){text("%s/libnccl.so.2/below-a-file", folder_with("libnccl.so.2", TORCH_NCCL)),
                                  "does not exist", true};
    char *name = calloc(1, 6001);
    memset(name, 'x', 6000);
    name[0] = '/';
    files[count++] = (struct bad){name, "cannot be read (File name too long)", true};
}

static void add_elf(void) {
    add_with_byte(EI_CLASS, ELFCLASS32, "is a 32-bit library, this process is 64-bit");
    add_with_byte(EI_DATA, ELFDATA2MSB, "is built for another CPU, this one is ");
    add_with_byte(offsetof(Elf64_Ehdr, e_machine), EM_RISCV, "is built for another CPU, this one is ");
    add_with_byte(offsetof(Elf64_Ehdr, e_type), ET_EXEC, "is not a shared library");
    add_with_byte(offsetof(Elf64_Ehdr, e_type), ET_REL, "is not a shared library");
    add_with_byte(offsetof(Elf64_Ehdr, e_phentsize), 1, "has a broken ELF header");
    add_with_byte(offsetof(Elf64_Ehdr, e_phoff) + 6, 1, "is truncated");
    copy_file(hostmem("lacks-core"), add("lacks ncclGetUniqueId, which every NCCL has"), -1);
    copy_file(library("torch_stand_in"), add("is not an NCCL (it exports no NCCL function)"), -1);
    add_with_name("libc.so.6", "libq.so.6", "cannot be opened (libq.so.6: cannot open shared object file");
}

/* A copy or a download that was cut off: of a large real NCCL and of a small one, at many places. */
static void add_cut(void) {
    static const long large[] = {65, 4096, 1 << 20, 100 << 20};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        copy_file(TORCH_NCCL, add("is truncated"), large[i]);
    struct stat status;
    stat(hostmem("plain"), &status);
    for (long part = 1; part < 4; part++)
        copy_file(hostmem("plain"), add("is truncated"), status.st_size / 16 * part);
    copy_file(TORCH_NCCL, add("is too short for a library"), 63);
}

static const char *good_place;

static int set_up(void **state) {
    (void)state;
    good_place = folder_with("libnccl.so.2", SYSTEM_NCCL);
    add_kinds();
    add_elf();
    add_cut();
    return 0;
}

static void named(void **state) {
    (void)state;
    for (unsigned i = 0; i < count; i++) {
        struct result result =
            run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", files[i].path)), CMD(program("linked_version")));
        assert_int_equal(result.status, 2);
        assert_contains(result.err, text("Tried: %s (path, from NCCL_REDIRECT) %s", files[i].path, files[i].reason));
        assert_one_line(result.err);
        assert_contains(result.out, "version=-1 code=2 id=2 filled=0"); /* what the program prints, and nothing else */
        assert_contains(result.out, files[i].reason);
        result_free(&result);
    }
}

static void searched(void **state) {
    (void)state;
    for (unsigned i = 0; i < count; i++) {
        if (files[i].named_only)
            continue;
        const char *folder = text("%.*s", (int)(strrchr(files[i].path, '/') - files[i].path), files[i].path);
        const char *places = text("LD_LIBRARY_PATH=%s:%s", folder, good_place);
        struct result result = run(WITH_SHIM, ENV(places, "NCCL_REDIRECT=system", "NCCL_REDIRECT_LOG=info"), C_PROGRAM);
        assert_string_equal(result.out, text("libnccl.so.2: version=%d code=0\n", SYSTEM_VERSION));
        assert_contains(result.err, text("info: passed over: %s (system, from LD_LIBRARY_PATH) %s", files[i].path,
                                         files[i].reason));
        assert_lines(result.err, 2);
        assert_int_equal(result.status, 0);
        result_free(&result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named),
        cmocka_unit_test(searched),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
