/* SPDX-License-Identifier: Apache-2.0 */
/* Which function of a library gets an adapter. One row each, looked through once when the library is opened. */
#include "adapt.h"
#include "layer.h"

#include <string.h>

typedef void adapter(void);

/* When the adapter takes the place of the library's own function. */
enum {
    ALWAYS, /* where the library has the function */
    LACKED, /* where it does not, but has `needs` */
    OLDER   /* where it has the function and is older than `version` */
};

static const struct adapter_row {
    uint8_t row, when, needs;
    int version;
    adapter *function;
} adapters[] = {
#define ALWAYS(name, adapter_) {NCR_ROW_##name, ALWAYS, 0, 0, (adapter *)adapter_},
#define LACKED(name, needs, adapter_) {NCR_ROW_##name, LACKED, NCR_ROW_##needs, 0, (adapter *)adapter_},
#define REFUSED(name, needs, adapter_) LACKED(name, needs, adapter_)
#define OLDER(name, version, adapter_) {NCR_ROW_##name, OLDER, 0, version, (adapter *)adapter_},
#include "adapters.def"
};

/* Their rows once more, side by side: the question is asked for every slot, and few have an adapter. */
static const uint8_t rows[] = {
#define ALWAYS(name, adapter_) NCR_ROW_##name,
#define LACKED(name, needs, adapter_) NCR_ROW_##name,
#define REFUSED(name, needs, adapter_) NCR_ROW_##name,
#define OLDER(name, version, adapter_) NCR_ROW_##name,
#include "adapters.def"
};

static bool applies(const struct ncr_library *library, const struct adapter_row *row) {
    bool has = library->targets[2 * row->row] != NULL;
    switch (row->when) {
    case ALWAYS:
        return has;
    case LACKED:
        return !has && library->targets[2 * row->needs] != NULL;
    case OLDER:
        return has && library->backend.version < row->version;
    }
    return false;
}

/*
 * NCCL writes ncclAlltoAll, RCCL ncclAllToAll; they are the same function, so the one is called by the other's name
 * where that is missing.
 */
static void *other_spelling(const struct ncr_library *library, unsigned slot) {
    if (slot / 2 == NCR_ROW_ncclAlltoAll)
        return library->targets[2 * NCR_ROW_ncclAllToAll + slot % 2];
    if (slot / 2 == NCR_ROW_ncclAllToAll)
        return library->targets[2 * NCR_ROW_ncclAlltoAll + slot % 2];
    return NULL;
}

/* A function and its profiling alias get the same adapter. */
static void *entry(struct ncr_library *library, unsigned slot, void *below) {
    void *spelled = below ? NULL : other_spelling(library, slot);
    if (spelled)
        return spelled;
    const uint8_t *at = rows, *end = rows + sizeof rows;
    for (; (at = memchr(at, (int)(slot / 2), (size_t)(end - at))); at++)
        if (applies(library, &adapters[at - rows]))
            return ncr_functions[slot / 2].alias || slot % 2 == 0 ? NCR_ADDRESS(adapters[at - rows].function) : NULL;
    return below;
}

static void opened(struct ncr_library *library) {
    ncr_isolate(library);
}

const struct ncr_layer ncr_adapt_layer = {.name = "adapt", .entry = entry, .opened = opened};

/** ncclResetDebugInit before 2.24.3: that NCCL reads its debug settings once. */
void ncr_reset_debug_init(void) {
}

/**
 * ncclGroupSimulateEnd before 2.22.3 is refused, but it ends the group, and nothing that was queued may be launched.
 */
int ncr_group_end_unsimulated(void *info) {
    struct ncr_library *library = ncr_called_library();
    (void)info;
    ncr_poison_group(library);
    NCR_TARGET(library, ncclGroupEnd)();
    return ncr_refuse_lacking(library, "ncclGroupSimulateEnd", "", 22203);
}
