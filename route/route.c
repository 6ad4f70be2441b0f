/*
 * Where a call goes once a second library is open: by the communicator or window among its arguments (the table says which), by the
 * thread's choice, or through a function here that serves all libraries.
 */
#include "route.h"

#if defined(__x86_64__)
#define ARGUMENT_REGISTERS 6
#elif defined(__aarch64__)
#define ARGUMENT_REGISTERS 8
#endif

/* One stub per slot, 16 bytes each (shim/entry_*.S). */
extern const char ncr_routed_start[];

static atomic_bool routing;

/* The library that this thread called last: its error is the one that the thread asks about. */
static __thread struct ncr_library *last __attribute__((tls_model("initial-exec")));

/** Is a second library open? */
bool ncr_routing(void) {
    return atomic_load_explicit(&routing, memory_order_acquire);
}

/** The library of this thread's last call. */
struct ncr_library *ncr_last_library(void) {
    return last ? last : ncr_library_at(0);
}

void ncr_set_last_library(const struct ncr_library *library) {
    last = ncr_library_at(library->index);
}

static uintptr_t argument(unsigned n, const uintptr_t *registers, const uintptr_t *stack) {
    return n < ARGUMENT_REGISTERS ? registers[n] : stack[n - ARGUMENT_REGISTERS];
}

static struct ncr_library *library_of_call(enum ncr_route route, const uintptr_t *registers, const uintptr_t *stack) {
    if (route == NCR_WINDOW)
        return ncr_owner(NCR_WINDOWS, (const void *)registers[0]);
    if (route < NCR_WINDOW)
        return ncr_owner(NCR_COMMUNICATORS, (const void *)argument(route - NCR_COMM0, registers, stack));
    return ncr_chosen_library();
}

/**
 * Called from entry_*.S for a routed slot: where this call goes, or NULL if its library lacks the function. `registers` are the
 * argument registers, `stack` the arguments behind them. Takes no lock.
 */
void *ncr_route(unsigned slot, const uintptr_t *registers, const uintptr_t *stack) {
    unsigned row = slot / 2;
    enum ncr_route route = ncr_functions[row].route;
    struct ncr_library *library = library_of_call(route, registers, stack);
    last = library;
    if (route <= NCR_WINDOW)
        ncr_group_join(library);
    if (row == NCR_ROW_ncclCommDestroy || row == NCR_ROW_ncclCommAbort)
        ncr_disown(NCR_COMMUNICATORS, (const void *)registers[0]);
    else if (row == NCR_ROW_ncclCommWindowDeregister)
        ncr_disown(NCR_WINDOWS, (const void *)registers[1]);
    return library->entries[slot];
}

/* ---- functions that concern more than one library, or memory ---- */

typedef void plain_function(void);

static plain_function *function_of(const struct ncr_library *library, unsigned row) {
    union {
        void *address;
        plain_function *function;
    } entry = {library->entries[2 * row]};
    return entry.function;
}

static void reset_all(unsigned row) {
    for (unsigned i = 0; i < ncr_library_count(); i++) {
        plain_function *reset = function_of(ncr_library_at(i), row);
        if (reset)
            reset();
    }
}

static void reset_debug(void) {
    reset_all(NCR_ROW_ncclResetDebugInit);
}

static void reset_debug_internal(void) {
    reset_all(NCR_ROW_ncclResetDebugInitInternal);
}

/* Encryption that only some libraries do would be a false promise. */
static int set_encryption(const void *config) {
    typedef int set(const void *);
    int code = NCR_SUCCESS;
    for (unsigned i = 0; i < ncr_library_count(); i++) {
        struct ncr_library *library = ncr_library_at(i);
        if (!library->backend.handle)
            continue;
        plain_function *entry = function_of(library, NCR_ROW_ncclSetEncryption);
        int result = entry ? ((set *)entry)(config) : ncr_refuse_lacking(library, "ncclSetEncryption", "", 23203);
        code = code ? code : result;
    }
    return code;
}

static int mem_alloc(void **pointer, size_t size) {
    typedef int alloc(void **, size_t);
    struct ncr_library *library = ncr_chosen_library();
    plain_function *entry = function_of(library, NCR_ROW_ncclMemAlloc);
    last = library;
    if (!entry)
        return ncr_refuse_lacking(library, "ncclMemAlloc", "", 21901);
    int code = ((alloc *)entry)(pointer, size);
    if (code == NCR_SUCCESS)
        ncr_own(NCR_MEMORIES, *pointer, library);
    return code;
}

static int mem_free(void *pointer) {
    typedef int release(void *);
    struct ncr_library *library = ncr_owner(NCR_MEMORIES, pointer);
    plain_function *entry = function_of(library, NCR_ROW_ncclMemFree);
    last = library;
    ncr_disown(NCR_MEMORIES, pointer);
    return entry ? ((release *)entry)(pointer) : ncr_refuse_lacking(library, "ncclMemFree", "", 21901);
}

/* ---- turning it on ---- */

static void *address_of(plain_function *function) {
    union {
        plain_function *function;
        void *address;
    } code = {function};
    return code.address;
}

static void *routed_address(unsigned slot) {
    switch (slot / 2) {
    case NCR_ROW_ncclGroupStart:
        return address_of((plain_function *)ncr_group_start);
    case NCR_ROW_ncclGroupEnd:
        return address_of((plain_function *)ncr_group_end);
    case NCR_ROW_ncclGroupSimulateEnd:
        return address_of((plain_function *)ncr_group_simulate_end);
    case NCR_ROW_ncclResetDebugInit:
        return address_of(reset_debug);
    case NCR_ROW_ncclResetDebugInitInternal:
        return address_of(reset_debug_internal);
    case NCR_ROW_ncclSetEncryption:
        return address_of((plain_function *)set_encryption);
    case NCR_ROW_ncclMemAlloc:
        return address_of((plain_function *)mem_alloc);
    case NCR_ROW_ncclMemFree:
        return address_of((plain_function *)mem_free);
    default:
        return (void *)(uintptr_t)(ncr_routed_start + 16 * (size_t)slot);
    }
}

/** From now on look at every call. The functions that create communicators choose the library themselves (bridge/create.c). */
void ncr_route_all(void) {
    if (atomic_exchange(&routing, true))
        return;
    for (unsigned slot = 0; slot < 2 * NCR_ROWS; slot++) {
        enum ncr_route route = ncr_functions[slot / 2].route;
        void *address = route == NCR_CREATE ? ncr_create_bridge(slot / 2) : routed_address(slot);
        if (route != NCR_WHY)
            atomic_store_explicit(&ncr_slots[slot], address, memory_order_release);
    }
}
