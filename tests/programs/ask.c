/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses include/nccl_redirect.h and nothing else of NCCL, with and without the preload; compiled as C and as C++.
 *
 * usage: ask sizes               what nccl_redirect_info() writes for structs of several sizes
 *        ask ANSWER...           one line each: available=BACKEND, use=BACKEND, use, info, maps (how many NCCLs are mapped)
 */
#include "../../include/nccl_redirect.h"

#include <stdio.h>
#include <stdlib.h>

static int untouched(const unsigned char *bytes, size_t from, size_t to) {
    for (; from < to; from++)
        if (bytes[from] != 0xaa)
            return 0;
    return 1;
}

static int zero(const unsigned char *bytes, size_t from, size_t to) {
    for (; from < to; from++)
        if (bytes[from] != 0)
            return 0;
    return 1;
}

static int ask_with_size(size_t size, unsigned char bytes[256]) {
    struct nccl_redirect_info info;
    memset(bytes, 0xaa, 256);
    memcpy(bytes, &size, sizeof size);
    int code = nccl_redirect_info(NULL, (struct nccl_redirect_info *)(void *)bytes);
    memcpy(&info, bytes, sizeof info);
    printf("size=%s code=%d", size == sizeof info ? "all" : size > sizeof info ? "more" : size ? "less" : "none", code);
    if (code == 0)
        printf(" kept=%d version=%d", info.size == size, info.version);
    return code;
}

static void sizes(void) {
    union {
        unsigned char bytes[256];
        struct nccl_redirect_info aligned;
    } place;
    size_t all = sizeof(struct nccl_redirect_info), less = offsetof(struct nccl_redirect_info, path);
    ask_with_size(all, place.bytes);
    printf(" behind=%s\n", untouched(place.bytes, all, 256) ? "untouched" : "written");
    ask_with_size(less, place.bytes);
    printf(" behind=%s\n", untouched(place.bytes, less, 256) ? "untouched" : "written");
    ask_with_size(all + 32, place.bytes);
    printf(" new=%s behind=%s\n", zero(place.bytes, all, all + 32) ? "zero" : "not zero",
           untouched(place.bytes, all + 32, 256) ? "untouched" : "written");
    ask_with_size(0, place.bytes);
    printf(" none=%d\n", nccl_redirect_info(NULL, NULL));
}

static void available(const char *backend) {
    char reason[2048] = "", little[8] = "#######";
    int answer = nccl_redirect_available(backend, reason, sizeof reason);
    int again = nccl_redirect_available(backend, little, 5);
    int silent = nccl_redirect_available(backend, NULL, 0);
    printf("available=%d,%d,%d reason=%s little=%s rest=%c\n", answer, again, silent, reason, little, little[5]);
}

static void info(void) {
    struct nccl_redirect_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    int code = nccl_redirect_info(NULL, &info);
    printf("info=%d", code);
    if (code == 0)
        printf(" version=%d backends=%d kind=%s bound=%s build_id=%s path=%s missing=%s why=%s", info.version,
               info.backends, info.kind, info.bound_when, strlen(info.build_id) > 15 ? "yes" : info.build_id, info.path,
               info.missing, info.why);
    printf("\n");
}

static void maps(void) {
    char line[4096];
    int count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, "/libnccl.so") && strstr(line, " 00000000 "); /* offset 0: once per file */
    if (file)
        fclose(file);
    printf("maps=%d\n", count);
}

int main(int count, char **arguments) {
    printf("present=%d\n", nccl_redirect_present());
    for (int i = 1; i < count; i++) {
        const char *word = arguments[i];
        if (strcmp(word, "sizes") == 0)
            sizes();
        else if (strncmp(word, "available=", 10) == 0)
            available(word + 10);
        else if (strncmp(word, "use=", 4) == 0)
            printf("use=%d\n", nccl_redirect_use(word + 4));
        else if (strcmp(word, "use") == 0)
            printf("use=%d\n", nccl_redirect_use(NULL));
        else if (strcmp(word, "info") == 0)
            info();
        else if (strcmp(word, "maps") == 0)
            maps();
        else
            return 2;
    }
    return 0;
}
