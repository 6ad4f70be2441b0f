/* What is known of the call that a thread makes, for what comes behind: which library it goes to. */
#include "shim.h"

__thread struct ncr_call ncr_call;

/** The library that this thread's call goes to, or else of its last call. Never NULL. */
struct ncr_library *ncr_called_library(void) {
    return ncr_call.library ? ncr_call.library : ncr_library_at(0);
}

void ncr_set_called_library(const struct ncr_library *library) {
    ncr_call.library = ncr_library_at(library->index);
}
