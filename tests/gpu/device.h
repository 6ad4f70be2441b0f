/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the test programs' buffers lie: on GPUs (device_cuda.c), or in plain memory (device_host.c), which lets the
 * same programs be rehearsed over the in-tree backend on a machine without a GPU. Every function ends the program with
 * a message if it fails. A device is an index from 0; all functions but device_count act on the one last named by
 * device_use.
 */
#ifndef NCR_GPU_DEVICE_H
#define NCR_GPU_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

int device_count(void); /* 0: there is no GPU. Starts CUDA: never call it before a fork */
void device_use(int device);
void *device_new(size_t size);
void device_put(void *to, const void *from, size_t size);
void device_get(void *to, const void *from, size_t size);
size_t device_memory_used(void); /* bytes, by everybody on this device */

void *device_new_stream(void);
void device_wait(void *stream);

/*
 * Capture in thread-local mode: what other threads do cannot break it. In plain memory there are no graphs:
 * device_end_capture returns NULL, and what was enqueued in between has run.
 */
void device_begin_capture(void *stream);
void *device_end_capture(void *stream);
void *device_instantiate(void *captured); /* not while the thread captures on any stream; NULL stays NULL */
void device_launch(void *graph, void *stream);
void device_delete_graph(void *graph);

#endif
