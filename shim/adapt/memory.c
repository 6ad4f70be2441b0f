/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation, registration and windows where the backend is too old for them. NCCL defines what a build or machine
 * without the feature does: plain device memory, no handle, no window. Programs must handle that, so it is an exact
 * replacement.
 */
#include "adapt.h"
#include "old_glibc.h"

#include <stdlib.h>
#include <string.h>

/* ---- ncclMemAlloc before 2.19: cudaMalloc, NCCL's own fallback (v2.30.7:allocator.cc:96) ---- */

/*
 * What allocates memory in this process: cudaMalloc and cudaFree of the program's CUDA runtime, or, if that is linked
 * statically and hidden, the driver's functions. Chosen once, so that memory goes back to where it came from.
 */
struct allocator {
    int (*allocate)(void **pointer, size_t size);
    int (*release)(void *pointer);
    int (*get_context)(void **context); /* these of the driver alone, else NULL */
    int (*set_context)(void *context);
    int (*retain)(void **context, int device);
};

static bool find_cudart(void *arg, const struct ncr_object *object) {
    if (!ncr_begins(ncr_basename(object->path), "libcudart"))
        return false;
    *(char **)arg = strdup(object->path);
    return true;
}

static void *mapped_cudart(void) {
    char *path = NULL;
    ncr_objects(find_cudart, &path);
    void *runtime = path ? ncr_real_dlopen()(path, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    free(path);
    return runtime;
}

/* dlsym, into a pointer to a function. */
static bool look_up(void *library, const char *name, void *function) {
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

static bool find_runtime(struct allocator *a, void *library) {
    return look_up(library, "cudaMalloc", &a->allocate) && look_up(library, "cudaFree", &a->release);
}

static bool find_driver(struct allocator *a) {
    void *driver = ncr_real_dlopen()("libcuda.so.1", RTLD_LAZY);
    int (*start)(unsigned);
    return driver && look_up(driver, "cuInit", &start) && look_up(driver, "cuMemAlloc_v2", &a->allocate) &&
           look_up(driver, "cuMemFree_v2", &a->release) && look_up(driver, "cuCtxGetCurrent", &a->get_context) &&
           look_up(driver, "cuCtxSetCurrent", &a->set_context) &&
           look_up(driver, "cuDevicePrimaryCtxRetain", &a->retain) && start(0) == 0;
}

static const struct allocator *allocator(void) {
    static _Atomic(const struct allocator *) chosen;
    const struct allocator *known = atomic_load(&chosen);
    if (known)
        return known;
    struct allocator *found = calloc(1, sizeof *found);
    void *runtime;
    bool usable = found && (find_runtime(found, RTLD_DEFAULT) ||
                            ((runtime = mapped_cudart()) && find_runtime(found, runtime)) || find_driver(found));
    dlerror();
    if (usable && atomic_compare_exchange_strong(&chosen, &known, found))
        return found;
    free(found);
    return known;
}

/* The runtime makes the context of the thread's device by itself, the driver does not. */
static bool has_context(const struct allocator *a) {
    void *context = NULL;
    if (!a->get_context || (a->get_context(&context) == 0 && context))
        return true;
    return a->retain(&context, 0) == 0 && a->set_context(context) == 0;
}

static int no_cuda(const char *function) {
    return ncr_fail(NCR_CUDA_ERROR, "%s: neither the CUDA runtime nor the driver can be used in this process",
                    function);
}

/** ncclMemAlloc: `size` bytes on the current device. */
int ncr_mem_alloc(void **pointer, size_t size) {
    const struct allocator *a = allocator();
    if (!a || !has_context(a))
        return no_cuda("ncclMemAlloc");
    return a->allocate(pointer, size) == 0
               ? NCR_SUCCESS
               : ncr_fail(NCR_CUDA_ERROR, "ncclMemAlloc: CUDA cannot allocate %zu bytes", size);
}

/** ncclMemFree, for memory from the ncclMemAlloc above: a library that lacks the one lacks the other. */
int ncr_mem_free(void *pointer) {
    const struct allocator *a = allocator();
    if (!a)
        return no_cuda("ncclMemFree");
    return !pointer || a->release(pointer) == 0 ? NCR_SUCCESS
                                                : ncr_fail(NCR_CUDA_ERROR, "ncclMemFree: CUDA cannot free %p", pointer);
}

/*
 * ---- ncclCommRegister before 2.19: no handle, as with NCCL_LOCAL_REGISTER=0 (v2.30.7:register/register.cc:155) ----
 */

int ncr_comm_register(ncr_comm comm, void *buffer, size_t size, void **handle) {
    if (!comm || !buffer || size == 0 || !handle)
        return ncr_invalid(ncr_called_library(), "ncclCommRegister: an argument is NULL, or the size is 0");
    *handle = NULL;
    return NCR_SUCCESS;
}

int ncr_comm_deregister(ncr_comm comm, void *handle) {
    (void)handle;
    return comm ? NCR_SUCCESS : ncr_invalid(ncr_called_library(), "ncclCommDeregister: the communicator is NULL");
}

/* ---- windows: before 2.27 none (v2.27.7:register/register.cc:205); before 2.29.2 without ncclWinGetUserPtr ---- */

/* The buffers of the windows of a library that cannot tell them; under `busy`. Programs register few. */
static struct {
    ncr_window window;
    void *buffer;
} * windows;
static size_t window_count, window_room;
static struct ncr_mutex busy;

static void before_fork(void) {
    ncr_mutex_lock(&busy);
}

static void leave(void) {
    ncr_mutex_unlock(&busy);
}

/* A fork must not copy the lock while another thread holds it. */
static void enter(void) {
    static _Atomic unsigned registered;
    ncr_at_fork(&registered, before_fork, leave, leave);
    ncr_mutex_lock(&busy);
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
    struct ncr_library *library = ncr_called_library();
    if (!library->targets[2 * NCR_ROW_ncclCommWindowRegister]) {
        if (!comm || !buffer || size == 0 || !window)
            return ncr_invalid(library, "ncclCommWindowRegister: an argument is NULL, or the size is 0");
        *window = NULL;
        return NCR_SUCCESS;
    }
    bool tells = library->targets[2 * NCR_ROW_ncclWinGetUserPtr] != NULL;
    if (window && !tells)
        *window = NULL; /* in a group NCCL writes it later, and this one stays unknown */
    int code = NCR_TARGET(library, ncclCommWindowRegister)(comm, buffer, size, window, flags);
    if (code == NCR_SUCCESS && !tells && window && *window)
        remember(*window, buffer);
    return code;
}

/** ncclCommWindowDeregister, likewise. */
int ncr_window_deregister(ncr_comm comm, ncr_window window) {
    struct ncr_library *library = ncr_called_library();
    recall(window, true);
    if (library->targets[2 * NCR_ROW_ncclCommWindowDeregister])
        return NCR_TARGET(library, ncclCommWindowDeregister)(comm, window);
    return comm ? NCR_SUCCESS : ncr_invalid(library, "ncclCommWindowDeregister: the communicator is NULL");
}

/** ncclWinGetUserPtr before 2.29.2: NULL for no window (v2.30.7:dev_runtime.cc:1597), else what was registered. */
int ncr_window_user_pointer(ncr_comm comm, ncr_window window, void **pointer) {
    struct ncr_library *library = ncr_called_library();
    if (!comm || !pointer)
        return ncr_invalid(library, "ncclWinGetUserPtr: an argument is NULL");
    *pointer = window ? recall(window, false) : NULL;
    if (window && !*pointer)
        return ncr_refuse_lacking(library, "ncclWinGetUserPtr", " for a window that was registered in a group", 22902);
    return NCR_SUCCESS;
}
