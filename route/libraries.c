/*
 * The opened libraries. Number 0 is the process's default, bound as ever; others are opened for nccl_redirect_use() and
 * rules, once each, and stay. The array only grows; a count that is stored last publishes each.
 */
#include "route.h"

#include <stdlib.h>
#include <string.h>

static struct ncr_library first;
static struct ncr_library *libraries[NCR_MOST_LIBRARIES] = {&first};
static _Atomic unsigned count = 1;

unsigned ncr_library_count(void) {
    return atomic_load_explicit(&count, memory_order_acquire);
}

struct ncr_library *ncr_library_at(unsigned index) {
    ncr_library_is_open(libraries[index]); /* what is in it is seen by this thread from now on */
    return libraries[index];
}

/* ---- opening ---- */

/*
 * What was asked for and found, so that the same choice finds it again without a search. Only grows; the head
 * publishes.
 */
struct answer {
    enum ncr_choice choice;
    const char *path; /* of NCR_CHOOSE_PATH */
    struct ncr_library *library;
    struct answer *next;
};

static _Atomic(struct answer *) answers;

static struct ncr_library *answered(enum ncr_choice choice, const char *path) {
    for (struct answer *a = atomic_load(&answers); a; a = a->next)
        if (a->choice == choice && (choice != NCR_CHOOSE_PATH || strcmp(a->path, path) == 0))
            return a->library;
    return NULL;
}

static void remember(enum ncr_choice choice, const char *path, struct ncr_library *library) {
    struct answer *answer = malloc(sizeof *answer);
    char *copy = strdup(path ? path : "");
    if (!answer || !copy) {
        free(answer);
        free(copy);
        return;
    }
    *answer = (struct answer){choice, copy, library, atomic_load(&answers)};
    atomic_store(&answers, answer);
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
        if (ncr_library_is_open(libraries[i]) && libraries[i]->backend.handle == backend->handle)
            return libraries[i];
    return NULL;
}

static struct ncr_library *add(const struct ncr_config *config, const struct ncr_backend *backend,
                               struct ncr_text *why) {
    unsigned index = ncr_library_count();
    if (ncr_encryption_is_set()) {
        ncr_text_add(why, "ncclSetEncryption was called before: %s would not know, and not encrypt", backend->path);
        return NULL;
    }
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
    ncr_report_backend(config, backend);
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
    ncr_choose(&found, &config, ncr_for_rccl, NULL, ncr_real_dlopen());
    if (!found.handle) {
        ncr_text_add(request->why, "%s", ncr_text_get(&found.why));
        ncr_text_free(&found.why);
        return;
    }
    struct ncr_library *library = known(&found);
    request->library = library ? library : add(&config, &found, request->why);
    if (request->library)
        remember(request->choice, request->path, request->library);
}

/**
 * The library of a choice, opened if it is not yet. NULL with `why` if it cannot be. Not from inside the opening of
 * another.
 */
struct ncr_library *ncr_library_open(enum ncr_choice choice, const char *path, const char *decided_by,
                                     struct ncr_text *why) {
    struct request request = {choice, path, decided_by, why, answered(choice, path)};
    struct request *pointer = &request;
    if (request.library)
        return request.library;
    ncr_bind(NULL);
    if (ncr_settings()->choice == NCR_CHOOSE_NOTHING)
        ncr_text_add(why, "%s", ncr_text_get(&ncr_settings()->problem));
    else if (ncr_lock_is_mine())
        ncr_text_add(why, "a library is being opened by this very thread");
    else
        ncr_locked_run(open_locked, &pointer);
    return request.library;
}
