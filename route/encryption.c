/*
 * ncclSetEncryption, which is about the whole process and comes before the first unique id. Encryption that only some
 * libraries do would be a false promise, so once it is set no further library is opened.
 */
#include "route.h"

static atomic_bool set;

/** Was ncclSetEncryption called with success? */
bool ncr_encryption_is_set(void) {
    return atomic_load(&set);
}

/** ncclSetEncryption, for every opened library; the first error. */
int ncr_set_encryption(const void *config) {
    typedef int function(const void *);
    int code = NCR_SUCCESS;
    for (unsigned i = 0; i < ncr_library_count(); i++) {
        struct ncr_library *library = ncr_library_at(i);
        union {
            void *address;
            function *function;
        } own = {library->targets[2 * NCR_ROW_ncclSetEncryption]};
        if (!ncr_library_is_open(library))
            continue;
        int more = own.address ? own.function(config) : ncr_refuse_lacking(library, "ncclSetEncryption", "", 23203);
        if (code == NCR_SUCCESS && more != NCR_SUCCESS) {
            code = more;
            ncr_set_last_library(library);
        }
        if (more == NCR_SUCCESS)
            atomic_store(&set, true);
    }
    return code;
}
