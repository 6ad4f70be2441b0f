/*
 * The slots, through which every call of the program jumps (entry_*.S). They are written here and nowhere else: with the
 * default library's functions when it is bound, and again when a layer changes its mind.
 */
#include "layer.h"

/* On x86-64 and aarch64 a jump through a slot depends on its address, so what stands behind it is seen complete. */
static void set(unsigned slot, void *address) {
    atomic_store_explicit(&ncr_slots[slot], address, memory_order_release);
}

/**
 * Fill the slots with what the layers put in front of the default library. Several threads may do so at once, and write
 * the same. A slot for which there is nothing stays as it is, and its call is answered (answers.c).
 */
void ncr_publish_slots(void) {
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++) {
        void *address = ncr_functions[slot / 2].route == NCR_WHY ? NULL : ncr_library_at(0)->entries[slot];
        for (const struct ncr_layer *const *layer = ncr_layers; *layer; layer++)
            if ((*layer)->slot)
                address = (*layer)->slot(slot, address);
        if (address)
            set(slot, address);
    }
}

/** Where a slot leads, or NULL while it has no address yet. */
void *ncr_slot_address(unsigned slot) {
    const char *address = atomic_load_explicit(&ncr_slots[slot], memory_order_acquire);
    return address >= ncr_trampolines_start && address < ncr_unbound_end ? NULL : (void *)address;
}
