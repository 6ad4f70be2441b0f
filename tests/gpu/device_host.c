/* SPDX-License-Identifier: Apache-2.0 */
/* The same in plain memory, for the in-tree backend: two ranks, no streams, no graphs. */
#include "device.h"

#include <stdlib.h>
#include <string.h>

/* Of a CUDA runtime, what is used for ncclMemAlloc where an NCCL lacks it. */
int cudaMalloc(void **pointer, size_t size);
int cudaFree(void *pointer);

int cudaMalloc(void **pointer, size_t size) {
    *pointer = calloc(1, size);
    return *pointer ? 0 : 2;
}

int cudaFree(void *pointer) {
    free(pointer);
    return 0;
}

int device_count(void) {
    const char *ranks = getenv("NCR_GPU_RANKS"); /* as many as the rehearsal asks for */
    return ranks && atoi(ranks) > 0 ? atoi(ranks) : 2;
}

void device_use(int device) {
    (void)device;
}

void *device_new(size_t size) {
    return calloc(1, size);
}

void device_put(void *to, const void *from, size_t size) {
    memcpy(to, from, size);
}

void device_get(void *to, const void *from, size_t size) {
    memcpy(to, from, size);
}

size_t device_memory_used(void) {
    return 0;
}

void *device_new_stream(void) {
    return NULL;
}

void device_wait(void *stream) {
    (void)stream;
}

void device_begin_capture(void *stream) {
    (void)stream;
}

void *device_end_capture(void *stream) {
    (void)stream;
    return NULL;
}

void *device_instantiate(void *captured) {
    return captured;
}

void device_launch(void *graph, void *stream) {
    (void)graph;
    (void)stream;
}

void device_delete_graph(void *graph) {
    (void)graph;
}
