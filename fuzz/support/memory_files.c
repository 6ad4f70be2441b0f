/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in memory. The linker leads the calls of the loader's file.c here (--wrap), and the C library's where the tool
 * and the reader of traces use those: a system call would be most of the time of an execution.
 */
#include "fuzz.h"

#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_FILES = 24, FIRST_DESCRIPTOR = 1 << 20 };

static struct {
    const char *path;
    const uint8_t *bytes;
    size_t size;
} files[MOST_FILES];
static size_t places[MOST_FILES]; /* of read() */
static unsigned file_count;

int __wrap_ncr_file_open(const char *path, struct stat *status);
bool __wrap_ncr_file_read_at(int file, void *into, size_t size, uint64_t offset);
char *__wrap_ncr_file_text(const char *path, size_t most);
bool __wrap_ncr_file_status(const char *path, struct stat *status);
bool __wrap_ncr_file_exists(const char *path);
bool __wrap_ncr_file_is_executable(const char *path);
char *__wrap_ncr_file_link(const char *path);
char *__wrap_ncr_file_real(const char *path);
char *__wrap_ncr_file_newest(const char *path, const char *prefix);
void __wrap_ncr_file_names(const char *path, bool (*visit)(void *arg, const char *name), void *arg);
int __wrap_access(const char *path, int mode);
char *__wrap_realpath(const char *path, char *into);
int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_read(int file, void *into, size_t size);
ssize_t __wrap_pread(int file, void *into, size_t size, off_t offset);
int __wrap_fstat(int file, struct stat *status);
int __wrap_close(int file);
long __wrap_syscall(long number, ...);
long __real_syscall(long number, ...);
int __real_access(const char *path, int mode);
char *__real_realpath(const char *path, char *into);
int __real_open(const char *path, int flags, ...);
ssize_t __real_read(int file, void *into, size_t size);
ssize_t __real_pread(int file, void *into, size_t size, off_t offset);
int __real_fstat(int file, struct stat *status);
int __real_close(int file);

void memory_files_clear(void) {
    file_count = 0;
}

void memory_file_add(const char *path, const void *bytes, size_t size) {
    MUST(file_count < MOST_FILES);
    files[file_count].path = path;
    files[file_count].bytes = bytes;
    files[file_count++].size = size;
}

/* -1 with errno ENOENT if there is none. */
static int find(const char *path) {
    for (unsigned i = 0; i < file_count; i++) {
        size_t length = strlen(files[i].path);
        bool all = length && files[i].path[length - 1] == '*';
        if (all ? strncmp(path, files[i].path, length - 1) == 0 : strcmp(path, files[i].path) == 0)
            return (int)i;
    }
    errno = ENOENT;
    return -1;
}

static bool is_ours(int file) {
    return file >= FIRST_DESCRIPTOR && file < FIRST_DESCRIPTOR + (int)file_count;
}

static void set_status(int number, struct stat *status) {
    *status = (struct stat){
        .st_mode = S_IFREG | 0755, .st_size = (off_t)files[number].size, .st_ino = (ino_t)number + 1, .st_nlink = 1};
}

/* How much of a file can be read from a place on. */
static size_t available(int number, uint64_t offset, size_t size) {
    uint64_t left = offset < files[number].size ? files[number].size - offset : 0;
    return size < left ? size : (size_t)left;
}

/* ---- loader/file.c ---- */

int __wrap_ncr_file_open(const char *path, struct stat *status) {
    int number = find(path);
    if (number < 0)
        return -1;
    places[number] = 0;
    set_status(number, status);
    return FIRST_DESCRIPTOR + number;
}

bool __wrap_ncr_file_read_at(int file, void *into, size_t size, uint64_t offset) {
    MUST(is_ours(file));
    int number = file - FIRST_DESCRIPTOR;
    size_t got = available(number, offset, size);
    if (got)
        memcpy(into, files[number].bytes + offset, got);
    return got == size;
}

char *__wrap_ncr_file_text(const char *path, size_t most) {
    int number = find(path);
    size_t size = number < 0 ? 0 : available(number, 0, most);
    char *text = number < 0 ? NULL : malloc(size + 1);
    if (text) {
        memcpy(text, files[number].bytes, size);
        text[size] = '\0';
    }
    return text;
}

bool __wrap_ncr_file_status(const char *path, struct stat *status) {
    int number = find(path);
    if (number >= 0)
        set_status(number, status);
    return number >= 0;
}

bool __wrap_ncr_file_exists(const char *path) {
    return find(path) >= 0;
}

bool __wrap_ncr_file_is_executable(const char *path) {
    return find(path) >= 0;
}

char *__wrap_ncr_file_link(const char *path) {
    (void)path;
    errno = EINVAL;
    return NULL;
}

char *__wrap_ncr_file_real(const char *path) {
    return find(path) >= 0 ? strdup(path) : NULL;
}

char *__wrap_ncr_file_newest(const char *path, const char *prefix) {
    (void)path;
    return strcmp(prefix, "python3.") == 0 ? strdup("python3.11") : NULL;
}

void __wrap_ncr_file_names(const char *path, bool (*visit)(void *arg, const char *name), void *arg) {
    size_t length = strlen(path);
    for (unsigned i = 0; i < file_count; i++)
        if (strncmp(files[i].path, path, length) == 0 && files[i].path[length] == '/' &&
            !strchr(files[i].path + length + 1, '/') && visit(arg, files[i].path + length + 1))
            return;
}

/* ---- the C library's ---- */

int __wrap_access(const char *path, int mode) {
    return find(path) >= 0 ? 0 : __real_access(path, mode);
}

char *__wrap_realpath(const char *path, char *into) {
    return find(path) >= 0 && !into ? strdup(path) : __real_realpath(path, into);
}

int __wrap_open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = flags & O_CREAT ? va_arg(list, int) : 0;
    va_end(list);
    int number = find(path);
    if (number < 0)
        return __real_open(path, flags, mode);
    places[number] = 0;
    return FIRST_DESCRIPTOR + number;
}

ssize_t __wrap_pread(int file, void *into, size_t size, off_t offset) {
    if (!is_ours(file))
        return __real_pread(file, into, size, offset);
    if (offset < 0) {
        errno = EINVAL;
        return -1;
    }
    size_t got = available(file - FIRST_DESCRIPTOR, (uint64_t)offset, size);
    if (got)
        memcpy(into, files[file - FIRST_DESCRIPTOR].bytes + offset, got);
    return (ssize_t)got;
}

ssize_t __wrap_read(int file, void *into, size_t size) {
    if (!is_ours(file))
        return __real_read(file, into, size);
    ssize_t got = __wrap_pread(file, into, size, (off_t)places[file - FIRST_DESCRIPTOR]);
    places[file - FIRST_DESCRIPTOR] += (size_t)got;
    return got;
}

int __wrap_fstat(int file, struct stat *status) {
    if (!is_ours(file))
        return __real_fstat(file, status);
    set_status(file - FIRST_DESCRIPTOR, status);
    return 0;
}

/*
 * The product calls fstat and stat so, for the sake of old C libraries. Six arguments are read, however many there are, as
 * the C library does.
 */
__attribute__((no_sanitize("address"))) long __wrap_syscall(long number, ...) {
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_fstat && is_ours((int)arguments[0])) {
        set_status((int)arguments[0] - FIRST_DESCRIPTOR, (struct stat *)arguments[1]);
        return 0;
    }
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

int __wrap_close(int file) {
    return is_ours(file) ? 0 : __real_close(file);
}
