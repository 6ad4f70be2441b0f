/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor: are the values of the variables valid, and do they have an effect? */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check_log_file(struct doctor *doctor) {
    const char *file = doctor->config.log_file;
    char *folder = file ? ncr_parent(file, 1) : NULL;
    if (file && access(folder && *folder ? folder : folder ? "/" : ".", W_OK) != 0)
        report(doctor, WARNING, "variables", "create the folder, or unset NCCL_REDIRECT_LOG_FILE",
               "NCCL_REDIRECT_LOG_FILE=%s: its folder cannot be written here, lines go to stderr", file);
}

static void report_lines(struct doctor *doctor, enum level level, const char *lines) {
    for (const char *line = lines; *line; line = next_line(line))
        report(doctor, level, "variables", NULL, "%.*s", (int)strcspn(line, "\n"), line);
}

/* vLLM and SGLang open that file themselves: a wrong one fails there even if nothing of ours reads the variable. */
static void check_system_path(struct doctor *doctor) {
    const struct ncr_config *config = &doctor->config;
    if (!config->system_path)
        return;
    struct ncr_search search = {.config = config, .subject = &doctor->command.subject};
    char *path = ncr_system_path(&search);
    struct ncr_validation validation;
    if (!path) {
        report(doctor, FAILURE, "variables", "correct the value, or unset it",
               "%s=%s is not found in LD_LIBRARY_PATH, /etc/ld.so.cache and the loader's default folders",
               config->system_variable, config->system_path);
        return;
    }
    ncr_validate(path, config, &validation);
    if (validation.missing || (validation.refusal && !validation.shim))
        report(doctor, FAILURE, "variables", "correct the value, or unset it", "%s=%s: %s %s", config->system_variable,
               config->system_path, strcmp(path, config->system_path) == 0 ? "that file" : path,
               validation.missing ? "does not exist" : validation.refusal);
    ncr_validation_free(&validation);
    free(path);
}

void check_variables(struct doctor *doctor) {
    const struct ncr_config *config = &doctor->config;
    unsigned before = doctor->count;
    if (config->problem.length)
        report(doctor, FAILURE, "variables", "correct the value, or unset it",
               "%s. NCCL is disabled in every redirected process", ncr_text_get(&config->problem));
    report_lines(doctor, FAILURE, ncr_text_get(&config->errors));
    report_lines(doctor, WARNING, ncr_text_get(&config->warnings));
    check_log_file(doctor);
    check_system_path(doctor);
    if (doctor->count == before)
        report(doctor, FINE, "variables", NULL, "%s%s%s", config->decided_by,
               strcmp(config->decided_by, "the default") == 0 ? " applies: auto (torch, program, system)" : " decides",
               config->require_text ? formatted(", within %s", config->require_text) : "");
}
