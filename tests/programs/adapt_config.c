/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a configuration reaches the backend (tests/libraries/adapt_recorder.c): for each version of a header, placed so
 * that its size ends where a page ends that is followed by none. Prints, for each function and case, what has changed
 * on the way.
 */
#include "adapt_newest.h"

#include "../libraries/adapt_recorder.h"

#include <sys/mman.h>

/* sizeof(ncclConfig_t) in the headers of these versions. */
static const struct {
    int version;
    size_t size;
} headers[] = {{21403, 24}, {21605, 24}, {21701, 40}, {21803, 48}, {22501, 48},  {22602, 48},  {22703, 72},
               {22803, 80}, {22902, 88}, {23003, 96}, {23007, 96}, {23102, 112}, {23203, 120}, {29999, 200}};

enum { BLOCKING = 16, TRAFFIC_CLASS = 44, PAGE = 4096 };

static unsigned char *page_end; /* behind it nothing can be read */

static const struct recorded *recorded(void) {
    return (const struct recorded *)nccl.GetErrorString((ncclResult_t)4711);
}

/* All settings undefined, as by the initialiser; from 2.14 to 2.16 blocking was 1. */
static void *place(size_t size, int version) {
    unsigned char *config = page_end - size;
    ncclConfig_t head = {size, NCCL_API_MAGIC, (unsigned)version, version < 21700 ? 1 : INT_MIN};
    int undefined = INT_MIN;
    for (size_t at = 0; at + 4 <= size; at += 4)
        memcpy(config + at, &undefined, 4);
    memcpy(config, &head, size < 20 ? size : 20);
    if (size >= 40)
        memset(config + 32, 0, 8); /* netName */
    if (size >= 56)
        memset(config + 48, 0, 8); /* commName */
    if (size >= 48 && version < 22600)
        memset(config + TRAFFIC_CLASS, 0x11, 4); /* padding, which holds anything */
    return config;
}

enum { FUNCTIONS = 5 };

static void call(int function, void *config) {
    ncclUniqueId id = {{0}};
    ncclComm_t comm = NULL, parent = (ncclComm_t)page_end;
    ncclResult_t (*grow)(ncclComm_t, int, const ncclUniqueId *, int, ncclComm_t *, ncclConfig_t *) =
        find("ncclCommGrow");
    int excluded = 1;
    if (function == 0)
        nccl.CommInitRankConfig(&comm, 1, id, 0, config);
    else if (function == 1)
        nccl.CommInitRankScalable(&comm, 1, 0, 1, &id, config);
    else if (function == 2)
        nccl.CommSplit(parent, 0, 0, &comm, config);
    else if (function == 3)
        nccl.CommShrink(parent, &excluded, 1, &comm, config, 0);
    else
        grow(parent, 2, &id, 1, &comm, config);
}

static void report(const char *what, const void *config, size_t size) {
    const struct recorded *seen = recorded();
    printf("%s: %s%s", what, seen->function, seen->config == config ? " untouched" : "");
    for (size_t at = 0; seen->config != config && at + 4 <= size; at += 4) {
        int now, then;
        memcpy(&now, seen->bytes + at, 4);
        memcpy(&then, (const char *)config + at, 4);
        if (now != then)
            printf(" %zu=%s", at, now == INT_MIN ? "undefined" : now == 1 ? "1" : "?");
    }
    printf("\n");
}

int main(int argc, char **argv) {
    page_end = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page_end += PAGE;
    if (argc != 2 || mprotect(page_end, PAGE, PROT_NONE) != 0 || !newest_load(argv[1]))
        return 2;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        for (int function = 0; function < FUNCTIONS; function++) {
            char what[32];
            void *config = place(headers[i].size, headers[i].version);
            unsigned char before[256];
            memcpy(before, config, headers[i].size);
            call(function, config);
            snprintf(what, sizeof what, "%d", headers[i].version);
            report(what, config, headers[i].size);
            if (memcmp(before, config, headers[i].size) != 0)
                printf("the program's own configuration was changed\n");
        }
    call(0, NULL);
    report("NULL", NULL, 0);
    ncclConfig_t *broken = place(40, 21701);
    broken->magic = 7;
    call(0, broken);
    report("magic", broken, 40);
    ncclConfig_t *unheard_of = place(200, 29999);
    unheard_of->version = INT_MAX + 6U;
    call(0, unheard_of);
    report("2147483653", unheard_of, 200);
    for (size_t size = 8; size <= 20; size += 4) {
        char what[32];
        void *config = place(size, 23203);
        call(0, config);
        snprintf(what, sizeof what, "size %zu", size);
        report(what, config, size);
    }
    /* What is set and cannot be had is told once. */
    for (int again = 0; again < 2; again++) {
        struct newest_config set = newest_config(INT_MIN);
        set.traffic_class = 3;
        set.split_share = 1;
        set.comm_name = "name";
        set.net_name = "Socket";
        set.others[2] = 1; /* shrinkShare */
        call(0, &set);
    }
    return 0;
}
