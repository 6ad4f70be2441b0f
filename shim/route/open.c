/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening another library for nccl_redirect_use() and rules. What was opened once is found again without a search.
 */
#include "route.h"

#include <stdlib.h>
#include <string.h>

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
    while (!atomic_compare_exchange_weak(&answers, &answer->next, answer))
        ;
}

struct request {
    enum ncr_choice choice;
    const char *path;
    const char *decided_by;
    struct ncr_text *why;
    struct ncr_library *library; /* the result */
};

static struct ncr_library *add(const struct ncr_config *config, const struct ncr_backend *backend,
                               struct ncr_text *why) {
    struct ncr_library *known = ncr_library_with(backend->handle);
    if (known)
        return known;
    if (ncr_encryption_is_set()) {
        ncr_text_add(why, "ncclSetEncryption has been called already, and %s would not encrypt", backend->path);
        return NULL;
    }
    struct ncr_library *library = ncr_library_new();
    if (!library) {
        ncr_text_add(why, "out of memory");
        return NULL;
    }
    ncr_library_fill(library, backend);
    struct ncr_library *here = ncr_library_add(library);
    if (!here)
        ncr_text_add(why, "%d libraries are open already, which is the limit", NCR_MOST_LIBRARIES);
    if (here && here == library)
        ncr_report_backend(config, &here->backend);
    return here;
}

static void open_now(struct request *request) {
    struct ncr_config config = *ncr_settings();
    struct ncr_backend found;
    config.choice = request->choice;
    config.path = (char *)request->path;
    config.decided_by = (char *)request->decided_by;
    config.fallback = false;
    config.additional = true;
    ncr_passing_begin();
    ncr_choose(&found, &config, ncr_for_rccl, NULL, ncr_open_backend);
    if (!found.handle) {
        ncr_text_add(request->why, "%s", ncr_text_get(&found.why));
        ncr_text_free(&found.why);
        return;
    }
    request->library = add(&config, &found, request->why);
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
    if (request.library)
        return request.library;
    ncr_bind(NULL);
    if (ncr_settings()->choice == NCR_CHOOSE_NOTHING) {
        ncr_text_add(why, "%s", ncr_text_get(&ncr_settings()->problem));
    } else if (ncr_is_binding()) {
        ncr_text_add(why, "this thread is already opening a library");
    } else {
        struct ncr_gate gate;
        ncr_gate_enter(&gate);
        ncr_log_hold();
        open_now(&request);
        ncr_gate_leave(&gate);
        ncr_log_release(true);
    }
    return request.library;
}
