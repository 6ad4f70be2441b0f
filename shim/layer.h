/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer stands between the program and the opened libraries where it is wanted: it evens out versions, compares what
 * ranks use, routes calls among several libraries. The core knows layers only by these tables, which start.c lists from
 * the lowest to the highest; a layer knows the core and not the other layers. Where a layer has nothing to do in a slot
 * it answers with what lies below, and the slot holds that address: a layer that is not wanted costs nothing.
 *
 * Every function may be NULL. They are called without a lock, by several threads at once where two bind at the same
 * time, and must answer alike to all.
 */
#ifndef NCR_LAYER_H
#define NCR_LAYER_H

#include "shim.h"

struct ncr_layer {
    const char *name;

    /*
     * What stands in this slot for this library, which was just opened and is not published yet. `below` is what stands
     * there without this layer: the library's own function or that of a lower layer; NULL: there is none.
     */
    void *(*entry)(struct ncr_library *library, unsigned slot, void *below);

    /* All entries of the library are known. */
    void (*opened)(struct ncr_library *library);

    /* The configuration was read; the slots are not filled yet. */
    void (*decided)(void);

    /*
     * What stands in this slot of the process, which all libraries share. `below` as above, of the default library; it
     * stays valid for the life of the process, but another may take its place (ncr_publish_slots).
     */
    void *(*slot)(unsigned slot, void *below);

    /* Does this dlopen of an NCCL get a library of its own? Then true, and *library is it, or NULL after an error. */
    bool (*open)(const char *file, struct ncr_library **library);
};

extern const struct ncr_layer *const ncr_layers[]; /* ends with NULL; start.c */

#endif
