/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What these programs have from the newest header (2.32.3), as far as tests/backend/testing.h does not declare it: they
 * are programs compiled for that version, whatever the backend is.
 */
#ifndef ADAPT_NEWEST_H
#define ADAPT_NEWEST_H

/* Each program uses a part of it. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include "../backend/testing.h"

enum { NEWEST = 23203 };

/* ncclConfig_t. */
struct newest_config {
    ncclConfig_t head; /* 4 bytes at its end are cgaClusterSize */
    int min_ctas, max_ctas;
    const char *net_name;
    int split_share, traffic_class;
    const char *comm_name;
    int others[16]; /* collnetEnable to nvlsHostMode, and 4 bytes of padding */
};
_Static_assert(sizeof(struct newest_config) == 120, "the size of ncclConfig_t");

/* NCCL_CONFIG_INITIALIZER, with `blocking`. */
static struct newest_config newest_config(int blocking) {
    struct newest_config config = {.head = {sizeof config, NCCL_API_MAGIC, NEWEST, blocking},
                                   .min_ctas = INT_MIN,
                                   .max_ctas = INT_MIN,
                                   .split_share = INT_MIN,
                                   .traffic_class = INT_MIN};
    ((int *)&config)[5] = INT_MIN;
    for (int i = 0; i < 16; i++)
        config.others[i] = INT_MIN;
    return config;
}

/* ncclCollConfig_t, with NCCL_COLLCONFIG_INITIALIZER's values. */
struct newest_coll_config {
    size_t size;
    unsigned magic, version;
    void *ext;
    int min_ctas, max_ctas, nvls_ctas, cga_cluster_size;
    const char *alg_selection;
    int force_alg_selection, cta_policy;
    uint64_t tag;
    void *event;
};

static const struct newest_coll_config newest_coll_config = {
    .size = sizeof newest_coll_config,
    .magic = NCCL_API_MAGIC,
    .version = NEWEST,
    .min_ctas = INT_MIN,
    .max_ctas = INT_MIN,
    .nvls_ctas = INT_MIN,
    .cga_cluster_size = INT_MIN,
    .force_alg_selection = 1,
    .cta_policy = INT_MIN,
};

static void *newest_library;

/* Opens an NCCL by path: under the preload that is the backend, whatever the path. */
static bool newest_load(const char *path) {
    return load(path) && (newest_library = dlopen(path, RTLD_LAZY));
}

static void *find(const char *name) {
    void *function = dlsym(newest_library, name);
    if (!function)
        fail_msg("%s is not found", name);
    return function;
}

#endif
