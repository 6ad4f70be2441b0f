/* SPDX-License-Identifier: Apache-2.0 */
/* The variables that choose, with rules and version ranges: each line of the input is one variable. */
#include "support/fuzz.h"

#include "loader.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

enum { MOST_VARIABLES = 160 };
static char *variables[MOST_VARIABLES + 1], *moved[MOST_VARIABLES + 1];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    environ = variables; /* so that the process began with none, and this array is the one of the start */
    ncr_environment_note_start();
    return 0;
}

static void check_lines(const struct ncr_text *lines) {
    MUST(lines->length == 0 || lines->data[lines->length - 1] == '\n');
}

static void check_rules(const struct ncr_config *config) {
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct ncr_rule *rule = &config->rules[i];
        MUST(rule->pattern && *rule->pattern);
        MUST(rule->choice != NCR_CHOOSE_AUTO && rule->choice != NCR_CHOOSE_NOTHING);
        MUST((rule->choice == NCR_CHOOSE_PATH) == (rule->path != NULL));
        MUST(!rule->path || *rule->path == '/');
    }
}

static void check(const struct ncr_config *config) {
    MUST((config->choice == NCR_CHOOSE_NOTHING) == (config->problem.length > 0));
    MUST(config->choice != NCR_CHOOSE_PATH || (config->path && *config->path == '/'));
    MUST(config->decided_by && *config->decided_by);
    MUST(config->choice == NCR_CHOOSE_NOTHING || config->require.at_least < config->require.below);
    MUST(!config->system_path || *config->system_path == '/' || !strchr(config->system_path, '/'));
    MUST(config->level >= NCR_OFF && config->level <= NCR_DEBUG);
    MUST(config->trace_records >= 1024 && (config->trace_records & (config->trace_records - 1)) == 0);
    MUST(!config->trace || *config->trace == '/' || strcmp(config->trace, "1") == 0);
    MUST(!config->history || *config->history == '/');
    check_lines(&config->errors);
    check_lines(&config->warnings);
    check_rules(config);
}

/* Read once as the array of the start, once as one that the program has moved since: the same must come out. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct parts parts;
    struct ncr_config config, again;
    unsigned count = 0;
    parts_read(&parts, data, size);
    char *rest = parts.text[0];
    for (char *line; count < MOST_VARIABLES && (line = part_line(&rest));)
        variables[count++] = line;
    variables[count] = NULL;
    memcpy(moved, variables, sizeof moved);
    environ = variables;
    ncr_config_read(&config);
    check(&config);
    environ = moved;
    ncr_config_read(&again);
    check(&again);
    MUST(config.choice == again.choice && config.rule_count == again.rule_count && config.level == again.level);
    MUST(strcmp(ncr_text_get(&config.problem), ncr_text_get(&again.problem)) == 0);
    ncr_config_bind();
    ncr_config_free(&config);
    ncr_config_free(&again);
    environ = variables;
    variables[0] = NULL;
    parts_free(&parts);
    return 0;
}
