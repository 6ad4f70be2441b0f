/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/ld.so.cache, the dynamic loader's own list of libraries. Format: sysdeps/generic/dl-cache.h of glibc ("new
 * format", since 2.2): a header of 48 bytes, entries of 24, strings; offsets count from the header.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_FLAGS 0x0303 /* ELF libc6, x86-64 */
#elif defined(__aarch64__)
#define THIS_FLAGS 0x0a03 /* ELF libc6, AArch64 LP64 */
#endif

#define MOST_CACHE (16u << 20)

struct header {
    char magic[20];
    uint32_t count;
    uint32_t strings_size;
    uint32_t rest[5];
};

struct entry {
    int32_t flags;
    uint32_t name;
    uint32_t path;
    uint32_t os_version;
    uint64_t hardware;
};

static char *read_cache(size_t *size) {
    struct stat status;
    int file = ncr_file_open("/etc/ld.so.cache", &status);
    if (file < 0)
        return NULL;
    *size = (size_t)status.st_size;
    char *cache = status.st_size > 0 && status.st_size < MOST_CACHE ? ncr_allocate(1, *size + 1) : NULL;
    if (cache && !ncr_file_read_at(file, cache, *size, 0)) {
        free(cache);
        cache = NULL;
    }
    close(file);
    if (cache)
        cache[*size] = '\0';
    return cache;
}

/** Visit the paths that the cache has for a SONAME on this CPU. */
bool ncr_ldcache(const char *soname, ncr_folder_visitor *visit, void *arg) {
    size_t size = 0;
    char *cache = read_cache(&size);
    /* An older cache in front of this one is skipped by looking for the header. */
    char *start = cache ? memmem(cache, size, "glibc-ld.so.cache1.1", 20) : NULL;
    bool stop = false;
    if (start && size - (size_t)(start - cache) >= sizeof(struct header)) {
        size -= (size_t)(start - cache);
        struct header header;
        memcpy(&header, start, sizeof header);
        size_t most = (size - sizeof header) / sizeof(struct entry);
        for (size_t i = 0; !stop && i < header.count && i < most; i++) {
            struct entry entry;
            memcpy(&entry, start + sizeof header + i * sizeof entry, sizeof entry);
            /* Builds for other CPU levels (glibc-hwcaps) come besides one for all. */
            if (entry.flags == THIS_FLAGS && entry.hardware == 0 && entry.name < size && entry.path < size &&
                strcmp(start + entry.name, soname) == 0)
                stop = visit(arg, "/etc/ld.so.cache", start + entry.path);
        }
    }
    free(cache);
    return stop;
}
