/*
 * A second NCCL in the process: the hook prevents the usual ways, but dlmopen, a file under another name or a library
 * linked by path still map one. Two NCCLs on one GPU fail or hang at the first collective, so the first communicator looks.
 */
#include "shim.h"

#include <stdlib.h>
#include <string.h>

static bool find_second(void *arg, const struct ncr_object *object) {
    uintptr_t self = (uintptr_t)ncr_trampolines_start;
    uintptr_t chosen = (uintptr_t)ncr_target(0);
    bool is_self = self >= object->start && self < object->end;
    bool is_chosen = chosen >= object->start && chosen < object->end;
    if (!object->is_nccl || is_self || is_chosen)
        return false;
    *(char **)arg = strdup(object->path);
    return true;
}

/** Warn once per process, naming both files, if a NCCL other than the backend is mapped. */
void ncr_look_for_second(void) {
    static atomic_flag looked = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&looked))
        return;
    char *other = NULL;
    if (ncr_objects(find_second, &other) && other)
        ncr_log(NCR_WARN,
                "two NCCLs are mapped in this process: %s serves, but %s is loaded too; whoever calls that one by its own "
                "handle can fail or hang at the first collective. LD_DEBUG=files tells who loads it",
                ncr_backend()->path, other);
    free(other);
}
