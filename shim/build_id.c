/* The build-id of an opened library, read when it is asked for. */
#include "shim.h"

/** Hexadecimal, "" if the file has none. Read once per library. */
const char *ncr_build_id(struct ncr_library *library) {
    const char *known = atomic_load(&library->build_id);
    if (known || !library->targets[0])
        return known ? known : "";
    struct ncr_text text = ncr_build_id_at(library->targets[0]);
    if (atomic_compare_exchange_strong(&library->build_id, &known, ncr_text_get(&text)))
        return ncr_text_get(&text);
    ncr_text_free(&text);
    return known;
}
