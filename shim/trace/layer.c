/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's place among the layers: the highest, so that what is recorded is what the program does. */
#include "layer.h"
#include "recorder.h"

extern const char ncr_traced_start[]; /* traced_*.S */
enum { STUB_BYTES = 8 };

/* Called again when a layer below changes its mind: the stub stays, and calls what is below it now. */
static void *slot_of(unsigned slot, void *below) {
    unsigned function = below && ncr_settings()->trace ? ncr_record_function(slot / 2) : TRACE_NO_FUNCTION;
    if (slot / 2 == NCR_ROW_ncclCommGetAsyncError && below && ncr_settings()->trace) {
        atomic_store_explicit(&ncr_record_below[slot & ~1u], below, memory_order_release);
        return (void *)(uintptr_t)ncr_record_async_error;
    }
    if (!function)
        return below;
    const struct ncr_library *library = ncr_library_at(0);
    bool routed = ncr_library_count() > 1;
    ncr_record_flags[function] =
        (uint8_t)((routed ? TRACE_ROUTED : 0) | (!routed && !library->targets[slot & ~1u] ? TRACE_EMULATED : 0));
    atomic_store_explicit(&ncr_record_below[slot], below, memory_order_release);
    return (void *)(uintptr_t)(ncr_traced_start + STUB_BYTES * (size_t)(2 * (function - 1) + slot % 2));
}

const struct ncr_layer ncr_trace_layer = {.name = "trace", .slot = slot_of};
