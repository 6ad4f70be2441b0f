/*
 * Allocation, registration and windows where the backend is too old for them. NCCL defines what a build or machine without the
 * feature does: plain device memory, no handle, no window; programs must cope with that, and so it is exact.
 */
#include "bridge.h"
#include "old_glibc.h"

#include <stdlib.h>
#include <string.h>

/* ---- ncclMemAlloc before 2.19: cudaMalloc, NCCL's own fallback (v2.30.7:allocator.cc:96) ---- */

static bool find_cudart(void *arg, const struct ncr_object *object) {
    if (strncmp(ncr_basename(object->path), "libcudart.so", 12) != 0)
        return false;
    *(char **)arg = strdup(object->path);
    return true;
}

/* A function of the CUDA runtime that the program has, else of the driver. */
static void *cuda_function(const char *runtime_name, const char *driver_name) {
    void *address = dlsym(RTLD_DEFAULT, runtime_name);
    char *path = NULL;
    if (!address && ncr_objects(find_cudart, &path) && path) {
        void *runtime = ncr_real_dlopen()(path, RTLD_LAZY | RTLD_NOLOAD);
        address = runtime ? dlsym(runtime, runtime_name) : NULL;
    }
    free(path);
    if (!address) {
        void *driver = ncr_real_dlopen()("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
        address = driver ? dlsym(driver, driver_name) : NULL;
    }
    dlerror();
    return address;
}

static int no_cuda(const char *function) {
    return ncr_fail(NCR_CUDA_ERROR, "%s: neither the CUDA runtime nor the driver is loaded in this process", function);
}

/** ncclMemAlloc: `size` bytes on the current device. */
int ncr_mem_alloc(void **pointer, size_t size) {
    union {
        void *address;
        int (*function)(void **, size_t); /* cudaMalloc, cuMemAlloc_v2 */
    } allocate;
    if (!pointer || size == 0)
        return NCR_INVALID_ARGUMENT;
    allocate.address = cuda_function("cudaMalloc", "cuMemAlloc_v2");
    if (!allocate.address)
        return no_cuda("ncclMemAlloc");
    return allocate.function(pointer, size) == 0 ? NCR_SUCCESS
                                                 : ncr_fail(NCR_CUDA_ERROR, "ncclMemAlloc: CUDA cannot allocate %zu bytes", size);
}

/** ncclMemFree, for memory from the ncclMemAlloc above: a library that lacks the one lacks the other. */
int ncr_mem_free(void *pointer) {
    union {
        void *address;
        int (*function)(void *); /* cudaFree, cuMemFree_v2 */
    } release;
    if (!pointer)
        return NCR_SUCCESS;
    release.address = cuda_function("cudaFree", "cuMemFree_v2");
    if (!release.address)
        return no_cuda("ncclMemFree");
    return release.function(pointer) == 0 ? NCR_SUCCESS : ncr_fail(NCR_CUDA_ERROR, "ncclMemFree: CUDA cannot free %p", pointer);
}

/* ---- ncclCommRegister before 2.19: no handle, as with NCCL_LOCAL_REGISTER=0 (v2.30.7:register/register.cc:155) ---- */

int ncr_comm_register(ncr_comm comm, void *buffer, size_t size, void **handle) {
    if (!comm || !buffer || size == 0 || !handle)
        return NCR_INVALID_ARGUMENT;
    *handle = NULL;
    return NCR_SUCCESS;
}

int ncr_comm_deregister(ncr_comm comm, void *handle) {
    (void)handle;
    return comm ? NCR_SUCCESS : NCR_INVALID_ARGUMENT;
}

/* ---- windows: before 2.27 none (v2.27.7:register/register.cc:205); before 2.29.2 without ncclWinGetUserPtr ---- */

/* The buffers of the windows of a library that cannot tell them; under `busy`. Programs register few. */
static struct {
    ncr_window window;
    void *buffer;
} *windows;
static size_t window_count, window_room;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void enter(void) {
    while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
        ;
}

static void leave(void) {
    atomic_flag_clear_explicit(&busy, memory_order_release);
}

static void remember(ncr_window window, void *buffer) {
    enter();
    if (window_count == window_room) {
        size_t room = window_room ? 2 * window_room : 16;
        void *more = realloc(windows, room * sizeof *windows);
        if (more) {
            windows = more;
            window_room = room;
        }
    }
    if (window_count < window_room) {
        windows[window_count].window = window;
        windows[window_count++].buffer = buffer;
    }
    leave();
}

/* The buffer of a window, forgotten with `forget`; NULL if unknown. */
static void *recall(ncr_window window, bool forget) {
    void *buffer = NULL;
    enter();
    for (size_t i = 0; i < window_count; i++)
        if (windows[i].window == window) {
            buffer = windows[i].buffer;
            if (forget)
                windows[i] = windows[--window_count];
            break;
        }
    leave();
    return buffer;
}

/** ncclCommWindowRegister: forwarded and remembered, or, where the backend has no windows, none. */
int ncr_window_register(ncr_comm comm, void *buffer, size_t size, ncr_window *window, int flags) {
    struct ncr_library *library = ncr_library_of(comm);
    if (!library->targets[2 * NCR_ROW_ncclCommWindowRegister]) {
        if (!comm || !buffer || size == 0 || !window)
            return NCR_INVALID_ARGUMENT;
        *window = NULL;
        return NCR_SUCCESS;
    }
    if (window)
        *window = NULL; /* in a group NCCL writes it later, and this one stays unknown */
    int code = NCR_OWN(library, ncclCommWindowRegister)(comm, buffer, size, window, flags);
    if (code == NCR_SUCCESS && window && *window)
        remember(*window, buffer);
    return code;
}

/** ncclCommWindowDeregister, likewise. */
int ncr_window_deregister(ncr_comm comm, ncr_window window) {
    struct ncr_library *library = ncr_library_of(comm);
    recall(window, true);
    if (library->targets[2 * NCR_ROW_ncclCommWindowDeregister])
        return NCR_OWN(library, ncclCommWindowDeregister)(comm, window);
    return comm ? NCR_SUCCESS : NCR_INVALID_ARGUMENT;
}

/** ncclWinGetUserPtr before 2.29.2: NULL for no window (v2.30.7:dev_runtime.cc:1597), else what was registered. */
int ncr_window_user_pointer(ncr_comm comm, ncr_window window, void **pointer) {
    struct ncr_library *library = ncr_library_of(comm);
    if (!comm || !pointer)
        return NCR_INVALID_ARGUMENT;
    *pointer = window ? recall(window, false) : NULL;
    if (window && !*pointer)
        return ncr_refuse_lacking(library, "ncclWinGetUserPtr", " for a window that was registered in a group", 22902);
    return NCR_SUCCESS;
}
