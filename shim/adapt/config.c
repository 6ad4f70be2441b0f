/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ncclConfig_t between versions. NCCL itself clamps the size and fills in fields that the program's version does not
 * have (init.cc, parseCommConfig, since 2.14), so nearly every pair works unchanged. Two traps need a corrected copy,
 * and a field that the backend is too old for is dropped silently by NCCL: here one line says so.
 */
#include "adapt.h"

#include <limits.h>
#include <string.h>

static const struct field {
    char name[28];
    unsigned offset;
    int since;
    bool pointer;
} fields[] = {
#define XX(type, name, since) {#name, offsetof(struct ncr_nccl_config, name), since, _Alignof(type) == sizeof(void *)},
#include "abi/nccl_config.def"
};

enum {
    BLOCKING = offsetof(struct ncr_nccl_config, blocking),
    TRAFFIC_CLASS = offsetof(struct ncr_nccl_config, trafficClass)
};

/* The version of the header that the program was compiled with, from the last configuration seen; 0 if none was. */
static _Atomic int program_version;

int ncr_program_version(void) {
    return atomic_load(&program_version);
}

static void report_dropped(const struct ncr_library *library, const char *config, size_t size, int version) {
    static atomic_bool said[sizeof fields / sizeof *fields];
    /* From the second on: creating a communicator without `blocking` is refused or done otherwise (create.c). */
    for (size_t i = 1; i < sizeof fields / sizeof *fields; i++) {
        const struct field *f = &fields[i];
        size_t width = f->pointer ? sizeof(void *) : sizeof(int);
        int number = NCR_UNDEFINED;
        const void *pointer = NULL;
        if (f->since <= library->backend.version || f->since > version || f->offset + width > size)
            continue;
        memcpy(f->pointer ? (void *)&pointer : (void *)&number, config + f->offset, width);
        if (f->pointer ? !pointer : number == NCR_UNDEFINED)
            continue;
        if (atomic_exchange(&said[i], true))
            continue;
        char since[16], present[16];
        ncr_version_text(f->since, since);
        ncr_version_text(library->backend.version, present);
        ncr_log(NCR_WARN,
                "the program sets %s in ncclConfig_t, which needs NCCL %s or newer; NCCL %s (%s) "
                "ignores it",
                f->name, since, present, library->backend.path);
    }
}

static bool put(struct ncr_config_copy *copy, const void *config, size_t size, unsigned offset, int value) {
    memcpy(copy->bytes, config, size);
    memcpy(copy->bytes + offset, &value, sizeof value);
    return true;
}

/**
 * The configuration to pass on: `config` itself, or a corrected copy in `copy` of exactly config->size bytes. What is
 * not a configuration (NULL, wrong magic, absurd size) is passed on for the backend to reject.
 */
void *ncr_config_fit(const struct ncr_library *library, void *config, struct ncr_config_copy *copy) {
    struct ncr_versioned head;
    int present = library->backend.version, blocking;
    if (!config)
        return NULL;
    memcpy(&head.size, config, sizeof head.size);
    if (head.size < BLOCKING + sizeof blocking || head.size > sizeof copy->bytes)
        return config;
    memcpy(&head, config, sizeof head);
    if (head.magic != NCR_MAGIC)
        return config;
    /* A version number that is not in the table comes from a header newer than any that is known. */
    int version = head.version > INT_MAX ? INT_MAX : ncr_version_from_nccl((int)head.version);
    atomic_store(&program_version, version);
    report_dropped(library, config, head.size, version);

    /* 2.14 to 2.16 know no "undefined" here and take 0 and 1 only (v2.14.3:init.cc:1268, v2.16.2:1300). */
    memcpy(&blocking, (char *)config + BLOCKING, sizeof blocking);
    bool changed =
        present >= 21403 && present < 21700 && blocking == NCR_UNDEFINED && put(copy, config, head.size, BLOCKING, 1);
    /*
     * Since 2.26 trafficClass lies where older programs have padding, which may hold anything (v2.26.2:init.cc:1555).
     */
    changed |= present >= 22600 && version < 22600 && head.size >= TRAFFIC_CLASS + sizeof(int) &&
               put(copy, config, head.size, TRAFFIC_CLASS, NCR_UNDEFINED);
    return changed ? copy->bytes : config;
}
