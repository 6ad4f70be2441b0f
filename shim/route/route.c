/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a call goes once a second library is open: by the communicator or window among its arguments (the table says
 * which), by the thread's choice, or through a function here that handles all libraries.
 */
#include "owners.h"

/* One stub per slot, 16 bytes each (shim/entry_*.S). */
extern const char ncr_routed_start[];

static atomic_bool routing;

/** Is routing on? */
bool ncr_routing(void) {
    return atomic_load_explicit(&routing, memory_order_acquire);
}

/** The library that made a communicator. Any thread. */
struct ncr_library *ncr_library_of(const void *communicator) {
    return ncr_routing() ? ncr_owner(NCR_COMMUNICATORS, communicator) : ncr_library_at(0);
}

static const void *argument(unsigned n, const uintptr_t *registers, const uintptr_t *stack) {
    return (const void *)(n < NCR_ARGUMENT_REGISTERS ? registers[n] : stack[n - NCR_ARGUMENT_REGISTERS]);
}

/* Where the program's call returns to, as routed (entry_*.S) leaves it. */
static const void *return_address(const uintptr_t *registers, const uintptr_t *stack) {
#if defined(__x86_64__)
    (void)registers;
    return (const void *)stack[-1];
#else
    (void)stack;
    return (const void *)registers[-1];
#endif
}

/* A row that makes something and has no function of its own. */
static void *make(unsigned slot, struct ncr_library *library, const uintptr_t *registers, const uintptr_t *stack) {
    enum ncr_route route = ncr_functions[slot / 2].route;
    if (route == NCR_CREATE)
        library = ncr_library_to_create(return_address(registers, stack), NULL);
    if (!library)
        return ncr_answer_with(NCR_SYSTEM_ERROR);
    return ncr_call_maker(slot, library, route <= NCR_COMM15 ? argument(route - NCR_COMM0, registers, stack) : NULL,
                          registers, stack);
}

/**
 * Called from entry_*.S for a routed slot: where this call goes, or NULL if its library lacks the function. `registers`
 * are the argument registers, `stack` the arguments behind them. Takes no lock, unless the call makes something.
 */
void *ncr_route(unsigned slot, const uintptr_t *registers, const uintptr_t *stack) {
    const struct ncr_function *f = &ncr_functions[slot / 2];
    struct ncr_library *library;
    if (f->route <= NCR_COMM15)
        library = ncr_owner(NCR_COMMUNICATORS, argument(f->route - NCR_COMM0, registers, stack));
    else if (f->route == NCR_WINDOW)
        library = ncr_owner(NCR_WINDOWS, (const void *)registers[0]);
    else if (f->route == NCR_MEMORY)
        library = ncr_owner(NCR_MEMORIES, (const void *)registers[0]);
    else
        library = ncr_chosen_library();
    ncr_call.library = library;
    if (ncr_group.depth > 0 && f->route <= NCR_WINDOW)
        ncr_group_join(library);
    if (f->makes != NCR_NOTHING)
        return make(slot, library, registers, stack);
    return library->entries[slot];
}

/* ---- functions that need more than that ---- */

typedef void plain_function(void);

static plain_function *function_of(const struct ncr_library *library, unsigned row) {
    return NCR_FUNCTION(plain_function, library->entries[2 * row]);
}

/* The library that a new communicator of this caller would use. */
static int get_version(int *version) {
    typedef int get(int *);
    struct ncr_library *library = ncr_library_for_caller(__builtin_return_address(0));
    if (!library)
        return NCR_SYSTEM_ERROR;
    plain_function *entry = function_of(library, NCR_ROW_ncclGetVersion);
    ncr_call.library = library;
    return entry ? ((get *)entry)(version) : ncr_answer_lacking(library, NCR_ROW_ncclGetVersion);
}

/* From the library that returned the code, that of the last call. A next question about an error is about it too. */
static const char *get_error_string(int code) {
    typedef const char *get(int);
    plain_function *entry = function_of(ncr_called_library(), NCR_ROW_ncclGetErrorString);
    return entry ? ((get *)entry)(code) : "NCCL is disabled; ncclGetLastError tells more";
}

/* From the library that made the communicator or, with NULL, that this thread called last. */
static const char *get_last_error(const void *communicator) {
    ncr_state_to_ask();
    return ncr_last_error_of(communicator ? ncr_library_of(communicator) : ncr_called_library(), communicator);
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

/* What NCCL returns here tells the program about its pending handles, so these are delivered first. */
static int get_async_error(void *communicator, int *state) {
    typedef int get(void *, int *);
    struct ncr_library *library = ncr_owner(NCR_COMMUNICATORS, communicator);
    plain_function *entry = function_of(library, NCR_ROW_ncclCommGetAsyncError);
    ncr_enter(library);
    if (!entry)
        return ncr_answer_lacking(library, NCR_ROW_ncclCommGetAsyncError);
    int code = ((get *)entry)(communicator, state);
    if (code == NCR_SUCCESS && state)
        ncr_pending_reported(communicator, *state);
    return code;
}

/* ---- functions that destroy: the handle is removed first, because its address may be used again at once ---- */

static void forget(enum ncr_kind kind, const void *handle) {
    ncr_pending_destroying(kind, handle);
    ncr_disown(kind, handle);
}

/* A call that has failed has destroyed nothing. */
static int destroyed(enum ncr_kind kind, const void *handle, struct ncr_library *library, int code) {
    if (code != NCR_SUCCESS && code != NCR_IN_PROGRESS)
        ncr_own_again(kind, handle, library);
    ncr_pending_destroyed(code);
    return code;
}

static int end_communicator(void *communicator, unsigned row) {
    typedef int end(void *);
    struct ncr_library *library = ncr_owner(NCR_COMMUNICATORS, communicator);
    plain_function *entry = function_of(library, row);
    ncr_enter(library);
    if (!entry)
        return ncr_answer_lacking(library, row);
    forget(NCR_COMMUNICATORS, communicator);
    return destroyed(NCR_COMMUNICATORS, communicator, library, ((end *)entry)(communicator));
}

static int destroy(void *communicator) {
    return end_communicator(communicator, NCR_ROW_ncclCommDestroy);
}

static int abort_communicator(void *communicator) {
    return end_communicator(communicator, NCR_ROW_ncclCommAbort);
}

static int deregister_window(void *communicator, void *window) {
    typedef int end(void *, void *);
    struct ncr_library *library = ncr_owner(NCR_COMMUNICATORS, communicator);
    plain_function *entry = function_of(library, NCR_ROW_ncclCommWindowDeregister);
    ncr_enter(library);
    if (!entry)
        return ncr_answer_lacking(library, NCR_ROW_ncclCommWindowDeregister);
    forget(NCR_WINDOWS, window);
    return destroyed(NCR_WINDOWS, window, library, ((end *)entry)(communicator, window));
}

static int mem_alloc(void **pointer, size_t size) {
    typedef int alloc(void **, size_t);
    struct ncr_library *library = ncr_library_for_caller(__builtin_return_address(0));
    if (!library)
        return NCR_SYSTEM_ERROR;
    plain_function *entry = function_of(library, NCR_ROW_ncclMemAlloc);
    ncr_call.library = library;
    if (!entry)
        return ncr_answer_lacking(library, NCR_ROW_ncclMemAlloc);
    struct ncr_making making = {.library = library, .kind = NCR_MEMORIES};
    void **place = ncr_expect(&making, pointer);
    return NCR_MAKE(&making, ((alloc *)entry)(place, size));
}

static int mem_free(void *pointer) {
    typedef int release(void *);
    struct ncr_library *library = ncr_owner(NCR_MEMORIES, pointer);
    plain_function *entry = function_of(library, NCR_ROW_ncclMemFree);
    ncr_call.library = library;
    if (!entry)
        return ncr_answer_lacking(library, NCR_ROW_ncclMemFree);
    forget(NCR_MEMORIES, pointer);
    return destroyed(NCR_MEMORIES, pointer, library, ((release *)entry)(pointer));
}

/* ---- turning it on ---- */

/*
 * Rows with a function of their own, instead of a jump by ncr_route(). A macro for each, so that the table can be
 * compared with them while it is compiled: the words "~, function" are two where a name that is no macro is one.
 */
#define INSTEAD_ncclGetVersion ~, get_version
#define INSTEAD_ncclGetErrorString ~, get_error_string
#define INSTEAD_ncclGroupStart ~, ncr_group_start
#define INSTEAD_ncclGroupEnd ~, ncr_group_end
#define INSTEAD_ncclGroupSimulateEnd ~, ncr_group_simulate_end
#define INSTEAD_ncclResetDebugInit ~, reset_debug
#define INSTEAD_ncclResetDebugInitInternal ~, reset_debug_internal
#define INSTEAD_ncclSetEncryption ~, ncr_set_encryption
#define INSTEAD_ncclGetLastError ~, get_last_error
#define INSTEAD_ncclCommGetAsyncError ~, get_async_error
#define INSTEAD_ncclCommDestroy ~, destroy
#define INSTEAD_ncclCommAbort ~, abort_communicator
#define INSTEAD_ncclCommWindowDeregister ~, deregister_window
#define INSTEAD_ncclMemAlloc ~, mem_alloc
#define INSTEAD_ncclMemFree ~, mem_free

#define SECOND(a, b, ...) b
#define THIRD(a, b, c, ...) c
#define FUNCTION(...) SECOND(__VA_ARGS__, NULL, NULL)
#define HAS_FUNCTION(...) THIRD(__VA_ARGS__, true, false, false)
#define ROW(row, function) {row, (plain_function *)function},
#define NO_ROW(row, function)
#define ROW_OR_NOTHING(...) THIRD(__VA_ARGS__, ROW, NO_ROW, NO_ROW)

#define XX(name, since, result, route, makes)                                                                          \
    _Static_assert((NCR_##route != NCR_GROUP && NCR_##route != NCR_ALL) || HAS_FUNCTION(INSTEAD_##name),               \
                   #name ": a row of the route " #route " needs a function in route/route.c");                         \
    _Static_assert(NCR_##route != NCR_WHY || NCR_ROW_##name == NCR_ROW_ncclGetLastError,                               \
                   #name ": the route WHY is that of ncclGetLastError alone");                                         \
    _Static_assert(NCR_##makes == NCR_NOTHING || NCR_##result == NCR_CODE,                                             \
                   #name ": only a function with a result code can make something");
#include "abi/nccl_api.def"

static void *own_function(unsigned row) {
    static const struct {
        unsigned row;
        plain_function *function;
    } instead[] = {
#define XX(name, since, result, route, makes) ROW_OR_NOTHING(INSTEAD_##name)(NCR_ROW_##name, FUNCTION(INSTEAD_##name))
#include "abi/nccl_api.def"
    };
    for (size_t i = 0; i < sizeof instead / sizeof *instead; i++)
        if (instead[i].row == row)
            return NCR_ADDRESS(instead[i].function);
    return NULL;
}

static void *routed_address(unsigned slot) {
    void *address = own_function(slot / 2);
    if (!address)
        address = ncr_route_create(slot / 2);
    return address ? address : (void *)(uintptr_t)(ncr_routed_start + 16 * (size_t)slot);
}

/* ncclSetEncryption is about the whole process, and decides whether a second library may come. */
static void *slot_of(unsigned slot, void *below) {
    if (ncr_routing())
        return routed_address(slot);
    return below && slot / 2 == NCR_ROW_ncclSetEncryption ? NCR_ADDRESS(ncr_set_encryption) : below;
}

/**
 * Route every call from now on. `at_first`: nothing was called yet. Otherwise the calling thread is in no group, and
 * groups that other threads have open are the default library's.
 */
void ncr_route_all(bool at_first) {
    static atomic_bool done; /* until then every thread that comes fills the slots: its next call is routed */
    if (atomic_load(&done))
        return;
    if (!ncr_routing())
        ncr_watch_prepare();
    if (!atomic_exchange(&routing, true))
        ncr_group_settle(at_first);
    ncr_publish_slots();
    atomic_store(&done, true);
}

/*
 * Groups are kept here from the start where a rule may lead a communicator elsewhere: one that was open when the second
 * library comes could not be joined any more. The slots are about to be filled.
 */
static void decided(void) {
    if (ncr_rules_about_communicators() && !ncr_routing())
        ncr_watch_prepare();
    if (ncr_rules_about_communicators() && !atomic_exchange(&routing, true))
        ncr_group_settle(true);
}

const struct ncr_layer ncr_route_layer = {
    .name = "route", .decided = decided, .slot = slot_of, .open = ncr_rule_for_file};
