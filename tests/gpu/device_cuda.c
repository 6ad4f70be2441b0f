/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, streams and graphs on GPUs. */
#include "device.h"

#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

static void check(cudaError_t code, const char *what) {
    if (code == cudaSuccess)
        return;
    fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(code));
    exit(1);
}

#define CUDA(call) check(call, #call)

int device_count(void) {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

void device_use(int device) {
    CUDA(cudaSetDevice(device));
}

void *device_new(size_t size) {
    void *buffer;
    CUDA(cudaMalloc(&buffer, size));
    CUDA(cudaMemset(buffer, 0, size));
    CUDA(cudaDeviceSynchronize());
    return buffer;
}

void device_put(void *to, const void *from, size_t size) {
    CUDA(cudaMemcpy(to, from, size, cudaMemcpyHostToDevice));
}

void device_get(void *to, const void *from, size_t size) {
    CUDA(cudaMemcpy(to, from, size, cudaMemcpyDeviceToHost));
}

size_t device_memory_used(void) {
    size_t free_now, total;
    CUDA(cudaMemGetInfo(&free_now, &total));
    return total - free_now;
}

void *device_new_stream(void) {
    cudaStream_t stream;
    CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

void device_wait(void *stream) {
    CUDA(cudaStreamSynchronize(stream));
}

void device_begin_capture(void *stream) {
    CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
}

void *device_end_capture(void *stream) {
    cudaGraph_t graph;
    CUDA(cudaStreamEndCapture(stream, &graph));
    return graph;
}

void *device_instantiate(void *captured) {
    cudaGraphExec_t executable;
    CUDA(cudaGraphInstantiateWithFlags(&executable, captured, 0));
    CUDA(cudaGraphDestroy(captured));
    return executable;
}

void device_launch(void *graph, void *stream) {
    CUDA(cudaGraphLaunch(graph, stream));
}

void device_delete_graph(void *graph) {
    CUDA(cudaGraphExecDestroy(graph));
}
