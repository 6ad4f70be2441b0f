/* One opened NCCL: the addresses of its functions, all from one handle, and what the program's slots get for them. */
#include "shim.h"
#include "bridge.h"
#include "old_glibc.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A backend that is itself linked with libnccl.so.2 may lead a name back to this shim: that would be a loop. */
static bool is_ours(const void *address) {
    return (const char *)address >= ncr_trampolines_start && (const char *)address < ncr_unbound_end;
}

static void *look_up(void *handle, const char *name) {
    void *address = dlsym(handle, name);
    return is_ours(address) ? NULL : address;
}

/** The library's function for a slot, or NULL. Builds of NCCL before 2.16 have no twins; the function does the same. */
void *ncr_library_function(void *handle, unsigned slot) {
    const struct ncr_function *f = &ncr_functions[slot / 2];
    char twin[64] = "p"; /* the longest name of the table is shorter (tests/test_abi_table.c) */
    if (slot % 2 == 0)
        return look_up(handle, f->name);
    if (!f->twin)
        return NULL;
    for (size_t i = 0; f->name[i] && i < sizeof twin - 2; i++)
        twin[i + 1] = f->name[i];
    void *function = look_up(handle, twin);
    return function ? function : look_up(handle, f->name);
}

static bool find_range(void *arg, const struct ncr_object *object) {
    struct ncr_library *library = arg;
    uintptr_t address = (uintptr_t)library->targets[0];
    if (address < object->start || address >= object->end)
        return false;
    library->start = object->start;
    library->end = object->end;
    return true;
}

/**
 * Is there a library? Only then its other fields may be read: the default one may be disabled, and opened by another
 * thread at this moment. Any thread.
 */
bool ncr_library_is_open(const struct ncr_library *library) {
    return atomic_load_explicit(&library->open, memory_order_acquire);
}

/**
 * Before slots get an address: whatever stands behind it has been written for all threads. A jump through a slot is no
 * acquire, which on aarch64 would be one instruction more for each call; so the one thread that writes makes all others
 * pass a barrier (membarrier(2), Linux 4.14). On x86-64 loads are not reordered.
 */
void ncr_slots_barrier(void) {
#if defined(__aarch64__)
    enum { PRIVATE_EXPEDITED = 1 << 3, REGISTER_PRIVATE_EXPEDITED = 1 << 4 };
    int error = errno;
    syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0);
    syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0);
    errno = error;
#endif
}

/** Fill the addresses of a library that was just opened, and decide which of its functions need a bridge. */
void ncr_library_fill(struct ncr_library *library) {
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot += 2) {
        void *function = ncr_library_function(library->backend.handle, slot);
        library->targets[slot] = function;
        /* Where there is no function there is no twin: to find nothing is what takes the loader long. */
        library->targets[slot + 1] = function ? ncr_library_function(library->backend.handle, slot + 1) : NULL;
    }
    dlerror(); /* names that the library lacks have left a message */
    ncr_objects(find_range, library);
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++)
        library->entries[slot] = library->targets[slot];
    ncr_bridge(library);
    atomic_store_explicit(&library->open, true, memory_order_release);
}
