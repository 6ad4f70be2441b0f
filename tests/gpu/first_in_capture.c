/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first NCCL call of a process while a stream is capturing. The program is not linked with NCCL: it finds the
 * function as a plugin would, or opens libnccl.so.2 at that moment, so loading (and under the shim the whole binding)
 * happens inside the capture. The capture must stay valid and its graph must run.
 *
 *   first_in_capture thread-local|global ncclGetVersion|ncclGetUniqueId call|dlopen
 *
 * call: find the function as a library of the process would, and open libnccl.so.2 only if it is not there; dlopen:
 * open it.
 */
#include "proof.h"

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(cudaError_t code, const char *what) {
    if (code == cudaSuccess)
        return;
    fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(code));
    exit(1);
}

#define CUDA(call) check(call, #call)

typedef int nccl_function(void *result);

static nccl_function *look_up(const char *name, bool open) {
    void *symbol = open ? NULL : dlsym(RTLD_DEFAULT, name);
    if (!symbol) {
        void *nccl = dlopen("libnccl.so.2", RTLD_NOW);
        if (!nccl) {
            fprintf(stderr, "%s\n", dlerror());
            exit(1);
        }
        symbol = dlsym(nccl, name);
    }
    nccl_function *function;
    memcpy(&function, &symbol, sizeof function);
    return function;
}

static enum cudaStreamCaptureMode mode_named(const char *name) {
    if (strcmp(name, "thread-local") == 0)
        return cudaStreamCaptureModeThreadLocal;
    return cudaStreamCaptureModeGlobal;
}

/* Set 0x01 bytes by the captured work before the call, and copy them after it. */
static const char *run_graph(cudaStream_t stream, const char *from, char *to, size_t size) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t executable;
    cudaError_t ended = cudaStreamEndCapture(stream, &graph);
    if (ended != cudaSuccess) {
        cudaGetLastError();
        return cudaGetErrorName(ended);
    }
    CUDA(cudaGraphInstantiateWithFlags(&executable, graph, 0));
    CUDA(cudaGraphLaunch(executable, stream));
    CUDA(cudaStreamSynchronize(stream));
    char host[2] = {0};
    CUDA(cudaMemcpy(&host[0], from, 1, cudaMemcpyDeviceToHost));
    CUDA(cudaMemcpy(&host[1], to + size - 1, 1, cudaMemcpyDeviceToHost));
    return host[0] == 1 && host[1] == 1 ? "valid" : "ran-wrong";
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    enum { SIZE = 4096 };
    bool open = strcmp(argv[3], "dlopen") == 0;
    char *from, *to;
    cudaStream_t stream;
    CUDA(cudaMalloc((void **)&from, SIZE));
    CUDA(cudaMalloc((void **)&to, SIZE));
    CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    int mapped_before = strcmp(proof_maps(), "none") != 0;

    CUDA(cudaStreamBeginCapture(stream, mode_named(argv[1])));
    CUDA(cudaMemsetAsync(from, 1, SIZE, stream));
    union {
        int version;
        char id[128];
    } answer = {0};
    int code = look_up(argv[2], open)(&answer);
    int mapped_after = strcmp(proof_maps(), "none") != 0;
    enum cudaStreamCaptureStatus status;
    CUDA(cudaStreamIsCapturing(stream, &status));
    if (status == cudaStreamCaptureStatusActive)
        CUDA(cudaMemcpyAsync(to, from, SIZE, cudaMemcpyDeviceToDevice, stream));
    const char *capture = run_graph(stream, from, to, SIZE);

    int version = 0;
    look_up("ncclGetVersion", open)(&version);
    int good = code == 0 && !mapped_before && mapped_after && strcmp(capture, "valid") == 0;
    proof(version, "result=%s call=%d loaded-in-capture=%s capture=%s", good ? "right" : "wrong", code,
          !mapped_before && mapped_after ? "yes" : "no", capture);
    return !good;
}
