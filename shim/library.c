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

/* Builds of NCCL before 2.16 have no twins; the function does the same. */
static void *look_up_twin(void *handle, const struct ncr_function *f) {
    char twin[64] = "p"; /* the longest name of the table is shorter (tests/test_shim_file.c) */
    size_t i = 0;
    do
        twin[i + 1] = f->name[i];
    while (f->name[i++] && i < sizeof twin - 2);
    return look_up(handle, twin);
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
    void *handle = library->backend.handle;
    for (unsigned row = 0; row < NCR_ROWS; row++) {
        const struct ncr_function *f = &ncr_functions[row];
        void *function = look_up(handle, f->name), *twin = f->twin ? look_up_twin(handle, f) : NULL;
        library->targets[2 * row] = function;
        library->targets[2 * row + 1] = f->twin && !twin ? function : twin;
    }
    dlerror(); /* names that the library lacks have left a message */
    ncr_objects(find_range, library);
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++)
        library->entries[slot] = library->targets[slot];
    ncr_bridge(library);
}
