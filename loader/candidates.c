/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which candidates are tried, and the one loop that tries them: for the preload library, which opens the
 * first that can be, for a program that asks, and for the tool, which explains. docs/selection.md is this file in prose.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/** "torch", "system", … as messages and the tool write it. */
const char *ncr_method_name(enum ncr_method method) {
    static const char *const names[] = {"torch", "system", "program", "path"};
    return names[method];
}

/** Hand one candidate to the visitor; true stops the search. */
bool ncr_offer(struct ncr_search *search, enum ncr_method method, const char *origin, const char *path) {
    const struct ncr_candidate candidate = {.method = method, .origin = origin, .path = path};
    return search->visit(search->arg, &candidate);
}

static bool visit_methods(struct ncr_search *search) {
    const struct ncr_config *config = search->config;
    switch (config->choice) {
    case NCR_CHOOSE_AUTO:
        return ncr_torch(search) || ncr_program(search) || ncr_system(search);
    case NCR_CHOOSE_TORCH:
        return ncr_torch(search) || (config->fallback && ncr_system(search));
    case NCR_CHOOSE_SYSTEM:
        return ncr_system(search);
    case NCR_CHOOSE_PROGRAM:
        return ncr_program(search) || (config->fallback && ncr_system(search));
    case NCR_CHOOSE_PATH:
        return ncr_offer(search, NCR_BY_PATH, config->additional ? config->decided_by : "NCCL_REDIRECT", config->path);
    case NCR_CHOOSE_NOTHING:
        break;
    }
    return false;
}

/** Visit the candidates of the configured choice in order. Returns whether the visitor stopped. */
bool ncr_candidates(struct ncr_search *search) {
    if (search->config->choice != NCR_CHOOSE_PATH) {
        ncr_search_objects(search);
        if (ncr_lacking())
            return false;
        ncr_search_vendor(search);
    }
    return visit_methods(search);
}

static void search_free(struct ncr_search *search) {
    ncr_text_free(&search->notes);
    ncr_text_free(&search->torch);
    ncr_search_free_objects(search);
}

/* ---- the loop ---- */

/* Did the user name this file? Then its absence is always reported. */
static bool is_named(const struct ncr_selection *selection, const struct ncr_candidate *candidate) {
    return candidate->method == NCR_BY_PATH || candidate->origin == selection->search.config->system_variable;
}

static void note_refusal(struct ncr_selection *selection, const struct ncr_candidate *candidate, const char *reason) {
    struct ncr_text *texts[] = {&selection->refused, &selection->refused_of[candidate->method]};
    for (int i = 0; i < 2; i++)
        ncr_text_add(texts[i], "%s%s (%s, from %s) %s", texts[i]->length ? "; " : "", candidate->path,
                     ncr_method_name(candidate->method), candidate->origin, reason);
}

/* A file that the user named is always reported; of a place that was merely searched, only that nothing is there. */
static void note_absence(struct ncr_selection *selection, struct ncr_considered *one) {
    const struct ncr_candidate *candidate = one->candidate;
    if (!is_named(selection, candidate)) {
        ncr_text_add(&selection->absent, "%s%s", selection->absent.length ? ", " : "", candidate->path);
        return;
    }
    char *target = ncr_file_link(candidate->path);
    char *reason = target ? ncr_path("is a link to %s, which does not exist", target) : NULL;
    free(target);
    free(one->validation->refusal);
    one->validation->refusal = reason ? reason : ncr_copy("does not exist");
    one->outcome = NCR_REFUSED;
}

/*
 * Is it built for other GPUs than the process, or than the torch that it is offered for? A file that the user named is
 * not checked. Returns what it does not fit, or NULL.
 */
static const char *misfit(const struct ncr_selection *selection, const struct ncr_considered *one) {
    const struct ncr_object *shown_by = selection->search.vendor_shown_by;
    enum ncr_vendor own = one->validation->rccl ? NCR_AMD : NCR_NVIDIA;
    if (is_named(selection, one->candidate))
        return NULL;
    if (selection->search.vendor && selection->search.vendor != own)
        return shown_by && *shown_by->path ? shown_by->path : "the program";
    return one->candidate->vendor && one->candidate->vendor != own ? "this torch" : NULL;
}

static void refuse_misfit(struct ncr_considered *one, const char *whom) {
    bool rccl = one->validation->rccl;
    one->outcome = NCR_REFUSED;
    one->validation->refusal =
        ncr_path("is for %s GPUs, but %s is built for %s", rccl ? "AMD" : "NVIDIA", whom, rccl ? "CUDA" : "ROCm");
}

static void open_accepted(struct ncr_selection *selection, struct ncr_considered *one) {
    struct ncr_text reason = {0};
    bool opened = !selection->open || selection->open(selection->arg, one, &reason);
    one->outcome = opened ? NCR_OPENED : NCR_REFUSED;
    if (!opened)
        one->validation->refusal = ncr_copy(ncr_text_get(&reason));
    selection->opened |= opened;
    ncr_text_free(&reason);
}

/*
 * If memory or descriptors run out, the search ends: an earlier candidate may have been passed over for it, and this
 * one may have been read in part only.
 */
static bool consider(void *arg, const struct ncr_candidate *candidate) {
    struct ncr_selection *selection = arg;
    struct ncr_validation validation;
    struct ncr_considered one = {.candidate = candidate, .validation = &validation};
    if (ncr_lacking())
        return true;
    one.outcome = ncr_consider(&selection->seen, candidate, selection->search.config, &validation);
    if (ncr_lacking()) {
        ncr_validation_free(&validation);
        return true;
    }
    if (one.outcome == NCR_ABSENT)
        note_absence(selection, &one);
    const char *whom = one.outcome == NCR_FIT ? misfit(selection, &one) : NULL;
    if (whom)
        refuse_misfit(&one, whom);
    if (one.outcome == NCR_FIT && !selection->opened)
        open_accepted(selection, &one);
    if (one.outcome == NCR_REFUSED)
        note_refusal(selection, candidate, validation.refusal ? validation.refusal : "cannot be used");
    if (selection->observe)
        selection->observe(selection->arg, &one);
    ncr_validation_free(&validation);
    return (selection->opened && !selection->all) || ncr_lacking();
}

/**
 * Try the candidates in order until one opens (with selection->all, list the rest too). Returns whether one did. Set
 * search, open, observe, arg and all before; free with ncr_selection_free().
 */
bool ncr_select(struct ncr_selection *selection) {
    selection->search.visit = consider;
    selection->search.arg = selection;
    if (!ncr_lacking())
        ncr_candidates(&selection->search);
    return selection->opened;
}

/** Add why no candidate could be used: each that was refused, what a method did not find, where nothing is. */
void ncr_selection_failure(const struct ncr_selection *selection, struct ncr_text *text) {
    const struct ncr_text *notes = &selection->search.notes;
    size_t start = text->length;
    if (ncr_lacking()) {
        ncr_text_add(text, "%s", ncr_lacking());
        return;
    }
    ncr_text_add(text, "%s", ncr_text_get(&selection->refused));
    if (notes->length)
        ncr_text_add(text, "%s", notes->data + (text->length > start ? 0 : 2));
    if (selection->absent.length)
        ncr_text_add(text, "%snot found: %s", text->length > start ? "; " : "", selection->absent.data);
}

/** Add why the candidates of one method could not be used. */
void ncr_selection_failure_of(const struct ncr_selection *selection, enum ncr_method method, struct ncr_text *text) {
    const struct ncr_text *notes = &selection->search.notes, *refused = &selection->refused_of[method];
    ncr_text_add(text, "%s", ncr_text_get(refused));
    if (notes->length && method != NCR_BY_SYSTEM)
        ncr_text_add(text, "%s", notes->data + (refused->length ? 0 : 2));
}

void ncr_selection_free(struct ncr_selection *selection) {
    search_free(&selection->search);
    ncr_text_free(&selection->refused);
    ncr_text_free(&selection->absent);
    for (int i = 0; i < NCR_METHODS; i++)
        ncr_text_free(&selection->refused_of[i]);
}
