/* SPDX-License-Identifier: Apache-2.0 */
/* The candidates as the preload library's own loop sees them, and the one that it would open. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static void read_version(struct considered *one) {
    char text[NCR_VERSION_TEXT] = "";
    struct ncr_elf elf;
    ncr_elf_open(&elf, one->candidate.path);
    if (!elf.refusal)
        one->version = ncr_elf_nccl_version(&elf, text);
    one->version_text = *text ? formatted("%s", text) : NULL;
    ncr_elf_close(&elf);
}

/*
 * Opened in a child. Not torch's own library, which takes a second and needs all of CUDA: the program that imports torch
 * opens it anyway.
 */
static bool open_in_child(void *arg, const struct ncr_considered *one, struct ncr_text *reason) {
    struct trial trial = {.opened = true};
    if (!ncr_begins(ncr_basename(one->candidate->path), "libtorch"))
        try_open(one->candidate->path, "ncclGetVersion", &trial);
    ((struct decision *)arg)->answered = trial.version;
    if (!trial.opened)
        ncr_text_add(reason, "cannot be opened (%s)", trial.error);
    return trial.opened;
}

static void remember(void *arg, const struct ncr_considered *seen) {
    struct decision *decision = arg;
    struct considered one = {
        .candidate = {.method = seen->candidate->method,
                      .origin = formatted("%s", seen->candidate->origin),
                      .path = formatted("%s", seen->candidate->path)},
        .outcome = seen->outcome,
        .chosen = seen->outcome == NCR_OPENED,
        .rccl = seen->validation->rccl,
        .why = seen->outcome == NCR_REFUSED ? formatted("%s", seen->validation->refusal) : NULL,
    };
    if (one.outcome != NCR_ABSENT)
        one.real_path = realpath(one.candidate.path, NULL);
    if (one.chosen || one.outcome == NCR_FIT)
        read_version(&one);
    if (one.chosen && decision->answered)
        one.version = ncr_version_from_nccl(decision->answered);
    decision->list = list_grow(decision->list, decision->count, sizeof *decision->list);
    decision->list[decision->count++] = one;
}

/*
 * A file that another user's environment leads to is read but never opened: its code would run as the user of the tool.
 */
static bool take_as_it_is(void *arg, const struct ncr_considered *one, struct ncr_text *reason) {
    (void)one;
    (void)reason;
    ((struct decision *)arg)->answered = 0;
    return true;
}

typedef bool opener(void *arg, const struct ncr_considered *one, struct ncr_text *reason);

static void select_for(struct decision *decision, const struct ncr_config *config, const struct ncr_subject *subject,
                       opener *open) {
    static const struct ncr_subject any;
    *decision = (struct decision){.config = *config, .notes = ""};
    struct ncr_selection selection = {
        .search = {.config = config, .subject = subject ? subject : &any},
        .open = open,
        .observe = remember,
        .arg = decision,
        .all = true,
    };
    ncr_select(&selection);
    for (unsigned i = 0; i < decision->count; i++)
        if (decision->list[i].chosen)
            decision->chosen = &decision->list[i];
    if (selection.search.torch.length)
        decision->torch = formatted("%s", selection.search.torch.data);
    if (selection.search.notes.length)
        decision->notes = formatted("%s", selection.search.notes.data + 2);
    ncr_selection_free(&selection);
}

/**
 * Decide as the preload library in `subject` would, by its loop. `config` is read already; it may have been changed
 * since.
 */
void decide(struct decision *decision, const struct ncr_config *config, const struct ncr_subject *subject) {
    select_for(decision, config, subject, open_in_child);
}

/** The same without opening a library: what comes first and can be read counts as chosen. */
void decide_untried(struct decision *decision, const struct ncr_config *config, const struct ncr_subject *subject) {
    select_for(decision, config, subject, take_as_it_is);
}

/** The exit code for a decision. */
int decision_status(const struct decision *decision) {
    if (decision->chosen)
        return EXIT_FINE;
    return decision->config.choice == NCR_CHOOSE_AUTO ? EXIT_FINDING : EXIT_UNMET;
}

/** What cannot be satisfied, and why, in one message. */
const char *decision_failure(const struct decision *decision) {
    const struct ncr_config *config = &decision->config;
    struct ncr_text text = {0};
    if (config->choice == NCR_CHOOSE_NOTHING)
        return ncr_text_get(&config->problem);
    ncr_text_add(
        &text, config->choice == NCR_CHOOSE_AUTO ? "auto finds no NCCL: " : "cannot satisfy %s: ", config->decided_by);
    size_t start = text.length;
    for (unsigned i = 0; i < decision->count; i++) {
        const struct considered *one = &decision->list[i];
        if (one->outcome == NCR_REFUSED || (one->outcome == NCR_ABSENT && config->choice == NCR_CHOOSE_PATH))
            ncr_text_add(&text, "%s%s %s", text.length > start ? "; " : "", one->candidate.path,
                         one->outcome == NCR_ABSENT ? "does not exist" : one->why);
    }
    if (*decision->notes)
        ncr_text_add(&text, "%s%s", text.length > start ? "; " : "", decision->notes);
    if (text.length == start)
        ncr_text_add(&text, "no libnccl.so.2 in any of the %u places", decision->count);
    return ncr_text_get(&text);
}

/* What can be done about a file that is there and was refused, or NULL. */
static const char *fix_of_refusal(const struct decision *decision) {
    for (unsigned i = 0; i < decision->count; i++) {
        const struct considered *one = &decision->list[i];
        if (one->outcome != NCR_REFUSED || ncr_begins(ncr_basename(one->candidate.path), "libtorch"))
            continue;
        if (strstr(one->why, "outside NCCL_REDIRECT_REQUIRE"))
            return "widen the range, or provide an NCCL inside it: install one, or name a file with "
                   "--use "
                   "/path/libnccl.so.2; `nccl-redirect list` shows what this machine has";
        return formatted("repair %s (install its package again), or name another file: --use "
                         "/path/libnccl.so.2; "
                         "`nccl-redirect list` shows what this machine has",
                         one->candidate.path);
    }
    return NULL;
}

/** What to do about it. */
const char *decision_fix(const struct decision *decision) {
    const struct ncr_config *config = &decision->config;
    const char *fix = fix_of_refusal(decision);
    if (fix)
        return fix;
    switch (config->choice) {
    case NCR_CHOOSE_TORCH:
        if (config->torch)
            return "point NCCL_REDIRECT_TORCH at the folder that holds torch (its site-packages), "
                   "or unset it";
        return "activate the environment that has torch, or set NCCL_REDIRECT_TORCH to its "
               "site-packages folder; "
               "`nccl-redirect list` shows what this machine has";
    case NCR_CHOOSE_SYSTEM:
        return "install NCCL (libnccl2), load its module, put its folder into LD_LIBRARY_PATH, or "
               "name the file: --use "
               "/path/libnccl.so.2; `nccl-redirect list` shows what this machine has";
    case NCR_CHOOSE_PROGRAM:
        return "choose another method: --use system, or name the file: --use /path/libnccl.so.2; `nccl-redirect list` "
               "shows what this machine has";
    case NCR_CHOOSE_PATH:
        return "name another file; `nccl-redirect list` shows what this machine has";
    case NCR_CHOOSE_AUTO:
        return "install torch or NCCL, activate the environment that has it, or name a file: --use "
               "/path/libnccl.so.2";
    case NCR_CHOOSE_NOTHING:
        break;
    }
    return "correct the value, or unset it";
}

/** The outcome of a candidate as a word. */
const char *outcome_word(const struct considered *one) {
    static const char *const words[] = {"absent", "same", "refused", "usable", "chosen"};
    return words[one->outcome];
}

struct json *considered_json(const struct considered *one) {
    struct json *object = json_object();
    json_add_text(object, "outcome", outcome_word(one));
    json_add_text(object, "method", ncr_method_name(one->candidate.method));
    json_add_text(object, "origin", one->candidate.origin);
    json_add_text(object, "path", one->candidate.path);
    json_add_text(object, "real_path", one->real_path);
    json_add_text(object, "reason", one->why);
    json_add_text(object, "version", one->version ? version_text(one->version) : NULL);
    json_add_text(object, "version_text", one->version_text);
    json_add_bool(object, "rccl", one->rccl);
    return object;
}
