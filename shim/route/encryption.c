/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ncclSetEncryption, which applies to the whole process and comes before the first unique id. Encryption by only some
 * of the libraries would be a false promise, so once it is set no further library is opened.
 */
#include "route.h"

static atomic_bool set;

/** Was ncclSetEncryption called with success? */
bool ncr_encryption_is_set(void) {
    return atomic_load(&set);
}

static int set_encryption_of(struct ncr_library *library, const void *config) {
    typedef int set_function(const void *);
    set_function *own = NCR_FUNCTION(set_function, library->targets[2 * NCR_ROW_ncclSetEncryption]);
    return own ? own(config) : ncr_answer_lacking(library, NCR_ROW_ncclSetEncryption);
}

/** ncclSetEncryption, for every opened library; the first error. */
int ncr_set_encryption(const void *config) {
    int code = NCR_SUCCESS;
    for (unsigned i = 0; i < ncr_library_count(); i++) {
        struct ncr_library *library = ncr_library_at(i);
        if (!library->backend.handle)
            continue;
        int more = set_encryption_of(library, config);
        if (code == NCR_SUCCESS && more != NCR_SUCCESS) {
            code = more;
            ncr_set_called_library(library);
        }
        if (more == NCR_SUCCESS)
            atomic_store(&set, true);
    }
    return code;
}
