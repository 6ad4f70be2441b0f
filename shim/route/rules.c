/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL_REDIRECT_RULES applied: a library is opened when the first call matches. The grammar is in loader/rules.c. */
#include "route.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* A rule that cannot be satisfied is an error, and no other library is used instead: NULL. */
static struct ncr_library *library_of_rule(const struct ncr_rule *rule) {
    struct ncr_text why = {0};
    struct ncr_library *library = ncr_library_open(rule->choice, rule->path, "NCCL_REDIRECT_RULES", &why);
    if (!library)
        ncr_fail(NCR_SYSTEM_ERROR, "NCCL_REDIRECT_RULES: the backend of the rule for \"%s\" cannot be used: %s",
                 rule->pattern, ncr_text_get(&why));
    ncr_text_free(&why);
    return library;
}

/* Does a rule of this kind match? *library is then its library, NULL if it cannot be satisfied. */
static bool match(enum ncr_rule_kind kind, const char *text, struct ncr_library **library) {
    const struct ncr_config *config = ncr_settings();
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct ncr_rule *rule = &config->rules[i];
        /* A pattern without a slash is about file names, in whatever folder. */
        const char *part = kind == NCR_RULE_OPEN && !strchr(rule->pattern, '/') ? ncr_basename(text) : text;
        if (rule->kind == kind && fnmatch(rule->pattern, part, 0) == 0) {
            *library = library_of_rule(rule);
            return true;
        }
    }
    return false;
}

static bool has_rules(enum ncr_rule_kind kind) {
    const struct ncr_config *config = ncr_settings();
    for (size_t i = 0; i < config->rule_count; i++)
        if (config->rules[i].kind == kind)
            return true;
    return false;
}

/**
 * May a rule lead communicators elsewhere? Then groups are kept in the shim from the start: one that was open when the
 * second library comes could not be joined any more.
 */
bool ncr_rules_about_communicators(void) {
    return has_rules(NCR_RULE_CALLER) || has_rules(NCR_RULE_NAME);
}

struct caller {
    uintptr_t address;
    char *name;
};

static bool find_caller(void *arg, const struct ncr_object *object) {
    struct caller *caller = arg;
    if (caller->address < object->start || caller->address >= object->end)
        return false;
    caller->name = strdup(ncr_basename(*object->path ? object->path : "program"));
    return true;
}

/**
 * Does a rule match the library that this call comes from? The main program is called "program". *library is NULL if
 * the rule cannot be satisfied (the error is set), and unchanged if no rule matches.
 */
bool ncr_rule_for_caller(const void *address, struct ncr_library **library) {
    struct caller caller = {(uintptr_t)address, NULL};
    if (!has_rules(NCR_RULE_CALLER) || !ncr_objects(find_caller, &caller))
        return false;
    if (!caller.name) {
        *library = NULL;
        ncr_fail(NCR_SYSTEM_ERROR, "NCCL_REDIRECT_RULES: out of memory");
        return true;
    }
    bool matched = match(NCR_RULE_CALLER, caller.name, library);
    free(caller.name);
    return matched;
}

/** Does a rule match this communicator's name? `config` is an ncclConfig_t or NULL. */
bool ncr_rule_for_name(const void *config, struct ncr_library **library) {
    struct ncr_versioned head;
    const char *name;
    if (!config || !has_rules(NCR_RULE_NAME))
        return false;
    memcpy(&head.size, config, sizeof head.size);
    if (!NCR_CONFIG_HAS(head.size, commName))
        return false;
    memcpy(&head, config, sizeof head);
    memcpy(&name, (const char *)config + offsetof(struct ncr_nccl_config, commName), sizeof name);
    return head.magic == NCR_MAGIC && head.version >= 22703 && name && match(NCR_RULE_NAME, name, library);
}

/**
 * The library that name: rules lead to besides `library`; NULL if there is none, or it cannot be used. Of several the
 * first counts: a unique id has room for one.
 */
struct ncr_library *ncr_rule_alternative(const struct ncr_library *library) {
    const struct ncr_config *config = ncr_settings();
    for (size_t i = 0; i < config->rule_count; i++) {
        struct ncr_library *other = config->rules[i].kind == NCR_RULE_NAME ? library_of_rule(&config->rules[i]) : NULL;
        if (other && other != library && other->backend.handle)
            return other;
    }
    return NULL;
}

/**
 * Does a rule match this file that a program opens? *library is NULL if the rule cannot be satisfied (the error is
 * set).
 */
bool ncr_rule_for_file(const char *file, struct ncr_library **library) {
    return has_rules(NCR_RULE_OPEN) && match(NCR_RULE_OPEN, file, library);
}
