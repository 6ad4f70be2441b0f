/*
 * The opened libraries. Number 0 is the process's default, bound as ever; others are opened for nccl_redirect_use() and rules,
 * once each, and stay. The array only grows; a count that is stored last publishes each.
 */
#include "route.h"

#include <stdlib.h>
#include <string.h>

static struct ncr_library first;
static struct ncr_library *libraries[NCR_MOST_LIBRARIES] = {&first};
static _Atomic unsigned count = 1;

static __thread struct ncr_library *chosen __attribute__((tls_model("initial-exec")));

unsigned ncr_library_count(void) {
    return atomic_load_explicit(&count, memory_order_acquire);
}

struct ncr_library *ncr_library_at(unsigned index) {
    return libraries[index];
}

/** What the calling thread's next unique ids and communicators use. */
struct ncr_library *ncr_chosen_library(void) {
    return chosen ? chosen : &first;
}

/** NULL is the default. */
void ncr_choose_library(struct ncr_library *library) {
    chosen = library;
}

struct request {
    enum ncr_choice choice;
    const char *path;
    const char *decided_by;
    struct ncr_text *why;
    struct ncr_library *library; /* the result */
};

static struct ncr_library *known(const struct ncr_backend *backend) {
    for (unsigned i = 0; i < ncr_library_count(); i++)
        if (libraries[i]->backend.handle == backend->handle)
            return libraries[i];
    return NULL;
}

static struct ncr_library *add(const struct ncr_backend *backend, struct ncr_text *why) {
    unsigned index = ncr_library_count();
    struct ncr_library *library = index < NCR_MOST_LIBRARIES ? calloc(1, sizeof *library) : NULL;
    if (!library) {
        ncr_text_add(why, "%d libraries are open already, no more can be", NCR_MOST_LIBRARIES);
        return NULL;
    }
    library->backend = *backend;
    library->index = index;
    ncr_library_fill(library);
    libraries[index] = library;
    atomic_store_explicit(&count, index + 1, memory_order_release);
    ncr_route_all();
    return library;
}

static void open_locked(const void *arg) {
    struct request *request = *(struct request *const *)arg;
    struct ncr_config config = *ncr_settings();
    struct ncr_backend found;
    config.choice = request->choice;
    config.path = (char *)request->path;
    config.decided_by = (char *)request->decided_by;
    config.fallback = false;
    config.additional = true;
    ncr_choose(&found, &config, false, NULL, ncr_real_dlopen());
    if (!found.handle) {
        ncr_text_add(request->why, "%s", ncr_text_get(&found.why));
        ncr_text_free(&found.why);
        return;
    }
    struct ncr_library *library = known(&found);
    request->library = library ? library : add(&found, request->why);
}

/**
 * The library of a choice, opened if it is not yet. NULL with `why` if it cannot be. `decided_by` is kept. Not from inside
 * the opening of another.
 */
struct ncr_library *ncr_library_open(enum ncr_choice choice, const char *path, const char *decided_by,
                                     struct ncr_text *why) {
    struct request request = {choice, path, decided_by, why, NULL};
    struct request *pointer = &request;
    ncr_bind(NULL);
    if (ncr_settings()->choice == NCR_CHOOSE_NOTHING)
        ncr_text_add(why, "%s", ncr_text_get(&ncr_settings()->problem));
    else if (ncr_lock_is_mine())
        ncr_text_add(why, "a library is being opened by this very thread");
    else
        ncr_locked_run(open_locked, &pointer);
    return request.library;
}

/* ---- which library a call to create something goes to ---- */

/** The library that made a communicator. Any thread. */
struct ncr_library *ncr_library_of(const void *communicator) {
    return ncr_routing() ? ncr_owner(NCR_COMMUNICATORS, communicator) : &first;
}

/**
 * The library that makes the next unique id or communicator: the thread's choice, else that of a rule, else the default. `caller` is
 * the program's return address, `config` an ncclConfig_t or NULL. NULL if there is none; then the error is set.
 */
struct ncr_library *ncr_library_to_create(const void *caller, const void *config) {
    struct ncr_library *library = chosen ? chosen : &first;
    ncr_look_for_second();
    if (!chosen && ncr_settings()->rule_count > 0 && !ncr_rule_for_name(config, &library))
        ncr_rule_for_caller(caller, &library);
    if (library && !library->backend.handle) {
        ncr_fail(NCR_SYSTEM_ERROR, "%s", ncr_disabled());
        library = NULL;
    }
    if (library && ncr_routing()) {
        ncr_set_last_library(library);
        ncr_group_join(library);
    }
    return library;
}

/** Before a call that makes a handle: what is there is not it. */
void ncr_expect(struct ncr_library *library, void **handle) {
    if (library != &first && handle)
        *handle = NULL;
}

/** After that call: the handle is the library's, now or when NCCL writes it. Returns `code`, the call's result. */
int ncr_made(struct ncr_library *library, enum ncr_kind kind, void **handle, int code) {
    enum { IN_PROGRESS = 7 };
    const void *group = ncr_routing() ? ncr_group_of_thread() : NULL;
    if (library == &first || !handle || (code != NCR_SUCCESS && code != IN_PROGRESS))
        return code;
    if (*handle)
        ncr_own(kind, *handle, library);
    else if (group || code == IN_PROGRESS)
        ncr_own_later(kind, handle, library, group);
    return code;
}
