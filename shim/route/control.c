/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of include/nccl_redirect.h, for programs that ask or choose. */
#define NCCL_REDIRECT_IMPLEMENTATION
#include "nccl_redirect.h"
#include "route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PUBLIC __attribute__((visibility("default"))) extern

PUBLIC nccl_redirect_available_fn nccl_redirect_available;
PUBLIC nccl_redirect_info_fn nccl_redirect_info;
PUBLIC nccl_redirect_use_fn nccl_redirect_use;

/* ---- available ---- */

static void answer(char *reason, size_t size, const char *text) {
    if (reason && size > 0)
        snprintf(reason, size, "%s", text);
}

struct question {
    const char *backend;
    char *reason;
    size_t size;
    int available;
};

static void keep_path(void *arg, const struct ncr_considered *one) {
    if (one->outcome == NCR_OPENED)
        *(char **)arg = ncr_copy(one->candidate->path);
}

static void look(struct question *question) {
    struct ncr_config config;
    struct ncr_text why = {0};
    char *accepted = NULL;
    ncr_passing_begin();
    ncr_config_read(&config);
    struct ncr_selection selection = {
        .search = {.config = &config, .rccl_first = ncr_for_rccl}, .observe = keep_path, .arg = &accepted};
    if (!question->backend || !ncr_choice_read_one(question->backend, &config.choice)) {
        ncr_text_add(&why, "use %s", ncr_choice_values);
    } else {
        free(config.path);
        config.path = ncr_copy(question->backend);
        free(config.decided_by);
        config.decided_by = ncr_copy("nccl_redirect_available");
        config.additional = true;
        config.fallback = false;
        question->available = ncr_select(&selection);
        ncr_selection_failure(&selection, &why);
    }
    if (ncr_lacking()) {
        question->available = 0;
        answer(question->reason, question->size, ncr_lacking());
    } else {
        answer(question->reason, question->size, question->available ? accepted : ncr_text_get(&why));
    }
    free(accepted);
    ncr_text_free(&why);
    ncr_selection_free(&selection);
    ncr_config_free(&config);
}

int nccl_redirect_available(const char *backend, char *reason, size_t size) {
    struct question question = {backend, reason, size, 0};
    struct ncr_gate gate;
    int error = errno;
    if (ncr_is_binding()) {
        look(&question);
    } else {
        ncr_gate_enter(&gate);
        look(&question);
        ncr_gate_leave(&gate);
    }
    errno = error;
    return question.available;
}

/* ---- info ---- */

static const char *missing_of(struct ncr_library *library) {
    const char *known = atomic_load(&library->missing);
    struct ncr_text text = {0};
    if (known)
        return known;
    for (unsigned row = 0; row < NCR_ROWS; row++)
        if (!library->targets[2 * row] && (!ncr_functions[row].rccl || library->backend.rccl))
            ncr_text_add(&text, "%s%s", text.length ? " " : "", ncr_functions[row].name);
    if (atomic_compare_exchange_strong(&library->missing, &known, ncr_text_get(&text)))
        return ncr_text_get(&text);
    ncr_text_free(&text);
    return known;
}

int nccl_redirect_info(const void *communicator, struct nccl_redirect_info *info) {
    if (!info || info->size < sizeof info->size)
        return ncr_fail(NCR_INVALID_ARGUMENT, "nccl_redirect_info: info is NULL, or info->size is not set");
    enum ncr_state state = ncr_bind(NULL);
    struct ncr_library *library =
        communicator ? ncr_library_of(communicator) : ncr_library_for_caller(__builtin_return_address(0));
    bool open = library && library->backend.handle;
    /* "" while there is no decision, and once another thread has opened one. */
    const char *disabled = ncr_disabled(NULL);
    struct nccl_redirect_info all = {
        .size = info->size,
        .version = open ? library->backend.version : 0,
        .backends = (int)ncr_library_count() - (state == NCR_BOUND ? 0 : 1),
        .kind = open ? ncr_method_name(library->backend.method) : "none",
        .path = open ? library->backend.path : "",
        .build_id = open ? ncr_build_id(library) : "",
        .bound_when = !open                  ? "never"
                      : library->index > 0   ? "chosen"
                      : ncr_bound_at_start() ? "start"
                                             : "first-use",
        .missing = open ? missing_of(library) : "",
        .why = open        ? ""
               : !library  ? ncr_last_error(NULL)
               : *disabled ? disabled
                           : "NCCL is being opened",
    };
    size_t known = info->size < sizeof all ? info->size : sizeof all;
    memset((char *)info + known, 0, info->size - known);
    memcpy(info, &all, known);
    return NCR_SUCCESS;
}

/* ---- use ---- */

int nccl_redirect_use(const char *backend) {
    enum ncr_choice choice;
    struct ncr_text why = {0};
    if (ncr_group_of_thread())
        return ncr_fail(NCR_INVALID_USAGE, "nccl_redirect_use: not allowed between ncclGroupStart and ncclGroupEnd");
    if (!backend) {
        ncr_choose_library(NULL);
        return NCR_SUCCESS;
    }
    if (!ncr_choice_read_one(backend, &choice))
        return ncr_fail(NCR_INVALID_ARGUMENT, "nccl_redirect_use(\"%s\"): no such backend; use %s", backend,
                        ncr_choice_values);
    int error = errno;
    struct ncr_library *library = ncr_library_open(choice, backend, "nccl_redirect_use", &why);
    int code = NCR_SUCCESS;
    if (library)
        ncr_choose_library(library);
    else
        code = ncr_fail(NCR_SYSTEM_ERROR, "nccl_redirect_use(\"%s\"): %s", backend, ncr_text_get(&why));
    ncr_text_free(&why);
    errno = error;
    return code;
}
