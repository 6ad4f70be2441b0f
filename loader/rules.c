/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NCCL_REDIRECT_RULES: another backend for particular callers, communicators or opened files. Rules are separated by
 * semicolons and tried in order:
 *
 *   PATTERN=BACKEND        calls that create a communicator from a library whose file name matches:
 *                          libtorch_cuda.so=torch
 *   name:PATTERN=BACKEND   communicators whose commName (ncclConfig_t, NCCL 2.27) matches
 *   open:PATTERN=BACKEND   dlopen of an NCCL whose path matches (without a slash in PATTERN: whose file name) gives that
 *                          very backend, not the shim
 *
 * PATTERN is a shell pattern (fnmatch); BACKEND is torch, system, program or an absolute path. The program itself is called
 * "program".
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

static void read_kind(struct ncr_rule *rule, const char **pattern) {
    static const struct {
        const char *prefix;
        enum ncr_rule_kind kind;
    } kinds[] = {{"name:", NCR_RULE_NAME}, {"open:", NCR_RULE_OPEN}};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(kinds[i].prefix);
        if (strncmp(*pattern, kinds[i].prefix, length) == 0) {
            rule->kind = kinds[i].kind;
            *pattern += length;
        }
    }
}

/* The last "=" divides: a pattern may hold one, a backend may not. */
static bool read_rule(struct ncr_rule *rule, char *text) {
    const char *pattern = text;
    char *equals = strrchr(text, '=');
    if (!equals)
        return false;
    *equals = '\0';
    read_kind(rule, &pattern);
    rule->pattern = ncr_copy(pattern);
    bool good = *pattern && ncr_choice_read_one(equals + 1, &rule->choice);
    rule->path = good && rule->choice == NCR_CHOOSE_PATH ? ncr_copy(equals + 1) : NULL;
    *equals = '=';
    return good;
}

/** Read the rules of a variable's value into config->rules; what is wrong goes into config->problem. */
void ncr_rules_read(struct ncr_config *config, const char *value) {
    char *copy = ncr_copy(value), *rest = copy;
    for (char *text; copy && (text = strsep(&rest, ";"));) {
        text += strspn(text, " ");
        for (size_t length = strlen(text); length > 0 && text[length - 1] == ' '; length--)
            text[length - 1] = '\0';
        if (!*text)
            continue;
        struct ncr_rule *more = ncr_allocate_more(config->rules, (config->rule_count + 1) * sizeof *more);
        if (!more)
            break;
        config->rules = more;
        struct ncr_rule *rule = &more[config->rule_count];
        *rule = (struct ncr_rule){.kind = NCR_RULE_CALLER};
        if (read_rule(rule, text)) {
            config->rule_count++;
        } else {
            free(rule->pattern);
            config->choice = NCR_CHOOSE_NOTHING;
            ncr_text_add(&config->problem,
                         "%sNCCL_REDIRECT_RULES: \"%s\" is not a rule; write PATTERN=BACKEND, name:PATTERN=BACKEND or "
                         "open:PATTERN=BACKEND, where BACKEND is %s, and semicolons between rules",
                         config->problem.length ? "; " : "", text, ncr_choice_values);
        }
    }
    free(copy);
}

void ncr_rules_free(struct ncr_config *config) {
    for (size_t i = 0; i < config->rule_count; i++) {
        free(config->rules[i].pattern);
        free(config->rules[i].path);
    }
    free(config->rules);
}
