/* One opened NCCL: the addresses of its functions, all from one handle, and what the program's slots get for them. */
#include "shim.h"
#include "bridge.h"
#include "old_glibc.h"

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
}
