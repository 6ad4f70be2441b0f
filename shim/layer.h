/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer is placed between the program and the opened libraries where it is needed: it hides differences between
 * versions, compares what ranks use, routes calls among several libraries. The core knows layers only by these tables,
 * which start.c lists from the lowest to the highest; a layer knows the core and not the other layers. If a layer has
 * nothing to do in a slot, it returns what is below, and the slot holds that address: a layer that is not needed costs
 * nothing.
 *
 * Every function may be NULL. They are called without a lock, by several threads at once if these bind at the same
 * time, and must return the same to all.
 */
#ifndef NCR_LAYER_H
#define NCR_LAYER_H

#include "shim.h"

struct ncr_layer {
    const char *name;

    /*
     * What goes into this slot for this library, which was just opened and is not published yet. `below` is what would
     * be there without this layer: the library's own function or that of a lower layer; NULL: nothing.
     */
    void *(*entry)(struct ncr_library *library, unsigned slot, void *below);

    /* All entries of the library are known. */
    void (*opened)(struct ncr_library *library);

    /* The configuration was read; the slots are not filled yet. */
    void (*decided)(void);

    /*
     * What goes into this slot of the process, which all libraries share. `below` as above, for the default library; it
     * stays valid for the life of the process, but may be replaced by another (ncr_publish_slots).
     */
    void *(*slot)(unsigned slot, void *below);

    /* Does this dlopen of an NCCL get a library of its own? Then true, and *library is it, or NULL after an error. */
    bool (*open)(const char *file, struct ncr_library **library);
};

extern const struct ncr_layer *const ncr_layers[]; /* ends with NULL; start.c */

#endif
