/* NCCL_REDIRECT_RULES applied: a library is opened when the first call matches. The grammar is in loader/rules.c. */
#include "route.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* The library of each rule, once it was needed. Written once each; two threads would write the same. */
static _Atomic(struct ncr_library *) opened[64];

/* The library of rule i. A rule that cannot be met is an error, never replaced: NULL. */
static struct ncr_library *library_of_rule(size_t i) {
    const struct ncr_rule *rule = &ncr_settings()->rules[i];
    struct ncr_library *library = i < 64 ? atomic_load(&opened[i]) : NULL;
    struct ncr_text why = {0};
    if (library)
        return library;
    library = ncr_library_open(rule->choice, rule->path, "NCCL_REDIRECT_RULES", &why);
    if (!library)
        ncr_fail(NCR_SYSTEM_ERROR, "NCCL_REDIRECT_RULES: the backend of the rule for \"%s\" cannot be used: %s", rule->pattern,
                 ncr_text_get(&why));
    else if (i < 64)
        atomic_store(&opened[i], library);
    ncr_text_free(&why);
    return library;
}

static bool match(enum ncr_rule_kind kind, const char *text, struct ncr_library **library) {
    const struct ncr_config *config = ncr_settings();
    for (size_t i = 0; i < config->rule_count; i++)
        if (config->rules[i].kind == kind && fnmatch(config->rules[i].pattern, text, 0) == 0) {
            *library = library_of_rule(i);
            return true;
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

/** Does a rule speak of the library that this call comes from? The main program is called "program". */
bool ncr_rule_for_caller(const void *address, struct ncr_library **library) {
    struct caller caller = {(uintptr_t)address, NULL};
    if (!has_rules(NCR_RULE_CALLER) || !ncr_objects(find_caller, &caller) || !caller.name)
        return false;
    bool matched = match(NCR_RULE_CALLER, caller.name, library);
    free(caller.name);
    return matched;
}

/** Does a rule speak of this communicator's name? `config` is an ncclConfig_t or NULL. */
bool ncr_rule_for_name(const void *config, struct ncr_library **library) {
    enum { COMM_NAME = 48 };
    struct ncr_versioned head;
    const char *name;
    if (!config || !has_rules(NCR_RULE_NAME))
        return false;
    memcpy(&head, config, sizeof head);
    if (head.magic != NCR_MAGIC || head.version < 22703 || head.size < COMM_NAME + sizeof name)
        return false;
    memcpy(&name, (const char *)config + COMM_NAME, sizeof name);
    return name && match(NCR_RULE_NAME, name, library);
}

/** Does a rule speak of this path that a program opens? */
bool ncr_library_wanted_for_file(const char *file, struct ncr_library **library) {
    return has_rules(NCR_RULE_OPEN) && match(NCR_RULE_OPEN, file, library);
}
