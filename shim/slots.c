/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots, through which every call of the program jumps (entry_*.S). They are written here and nowhere else: with
 * the default library's functions when it is bound, and again when a layer changes what it returns.
 */
#include "layer.h"

#include <sys/syscall.h>
#include <unistd.h>

/* What the layers put into a slot now; NULL: nothing. */
static void *address_for(unsigned slot) {
    void *address = ncr_functions[slot / 2].route == NCR_WHY ? NULL : ncr_library_at(0)->entries[slot];
    for (const struct ncr_layer *const *layer = ncr_layers; *layer; layer++)
        if ((*layer)->slot)
            address = (*layer)->slot(slot, address);
    return address;
}

/**
 * Fill one slot again. The slot is read before the layers are asked: a thread that was stopped in between, while a layer
 * changed what it returns and another thread filled the slots again, must not overwrite that with its older value.
 */
void ncr_publish_slot(unsigned slot) {
    void *known = atomic_load_explicit(&ncr_slots[slot], memory_order_acquire), *address;
    do
        address = address_for(slot);
    while (address && !atomic_compare_exchange_weak_explicit(&ncr_slots[slot], &known, address, memory_order_acq_rel,
                                                             memory_order_acquire));
}

/*
 * Before slots get an address: make what it points to visible to every thread. On aarch64 a jump through a slot is no
 * acquire: the processor may read data of the function before it has read the slot, and an acquire would be one more
 * instruction in every call. So the thread that writes makes all others pass a barrier (membarrier(2), Linux 4.14).
 * x86-64 reads in order.
 */
static void make_others_see(void) {
#if defined(__aarch64__)
    enum { PRIVATE_EXPEDITED = 1 << 3, REGISTER_PRIVATE_EXPEDITED = 1 << 4 };
    syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0);
    syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0);
#endif
}

/**
 * Fill the slots with what the layers put in front of the default library. Several threads may do so at once. A slot
 * without a function stays as it is, and its calls are answered by answers.c.
 */
void ncr_publish_slots(void) {
    make_others_see();
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++)
        ncr_publish_slot(slot);
}

/** Where a slot leads, or NULL while it has no address yet. */
void *ncr_slot_address(unsigned slot) {
    const char *address = atomic_load_explicit(&ncr_slots[slot], memory_order_acquire);
    return address >= ncr_trampolines_start && address < ncr_unbound_end ? NULL : (void *)address;
}
