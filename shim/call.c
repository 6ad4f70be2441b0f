/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known about the call that a thread is making, for the code that runs later in it: which library it goes to.
 */
#include "shim.h"

__thread struct ncr_call ncr_call;

/* This library's code, by the linker. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));

/**
 * Where the program called from: a layer that calls the next one from its own code (shim/trace/) would be taken for the
 * caller, so it stores the real caller here.
 */
const void *ncr_call_from(const void *return_address) {
    const char *address = return_address;
    return ncr_call.program && address >= __ehdr_start && address < etext ? ncr_call.program : return_address;
}

/** The library that this thread's call goes to, or else of its last call. Never NULL. */
struct ncr_library *ncr_called_library(void) {
    return ncr_call.library ? ncr_call.library : ncr_library_at(0);
}

void ncr_set_called_library(const struct ncr_library *library) {
    ncr_call.library = ncr_library_at(library->index);
}
