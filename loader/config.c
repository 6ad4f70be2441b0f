/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variables that choose, read once into one struct at the moment of the decision (not at load: Python programs set
 * them before they import torch). An invalid value of a variable that decides which NCCL is used is a problem, and NCCL
 * is disabled: what the user named is never replaced. An invalid value of another variable is an error line, and the
 * default is used.
 */
#include "every_process.h"
#include "loader.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>

static const char known_names[][28] = {
#define XX(name, values, standard, meaning) #name,
#include "env.def"
};
/* C drops the NUL of a string that is one too long, and says nothing. */
#define XX(name, values, standard, meaning) _Static_assert(sizeof #name <= sizeof *known_names, #name " is longer");
#include "env.def"

/* Edit distance, for names of at most 63 characters; longer ones are far from every known name anyway. */
static unsigned distance(const char *a, const char *b) {
    unsigned row[64];
    size_t width = strlen(b);
    if (width > 63)
        return UINT_MAX;
    for (size_t j = 0; j <= width; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; a[i]; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < width; j++) {
            unsigned substituted = diagonal + (a[i] != b[j]);
            unsigned inserted = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = substituted < inserted ? substituted : inserted;
        }
    }
    return row[width];
}

static void warn_of_unknown_name(struct ncr_config *config, const char *name) {
    const char *nearest = NULL;
    unsigned best = UINT_MAX;
    for (size_t i = 0; i < sizeof known_names / sizeof *known_names; i++) {
        if (strcmp(name, known_names[i]) == 0)
            return;
        unsigned d = distance(name, known_names[i]);
        if (d < best) {
            best = d;
            nearest = known_names[i];
        }
    }
    ncr_text_add(&config->warnings, "unknown variable %s ignored; did you mean %s?\n", name, nearest);
}

static void warn_of_unknown_names(struct ncr_config *config) {
    static const char prefix[] = "NCCL_REDIRECT_";
    for (size_t i = 0; i < config->variables.count; i++) {
        const char *entry = config->variables.list[i], *equals = strchr(entry, '=');
        if (!equals || !ncr_begins(entry, prefix))
            continue;
        char *name = ncr_copy_part(entry, (size_t)(equals - entry));
        if (name)
            warn_of_unknown_name(config, name);
        free(name);
    }
}

static void read_choice(struct ncr_config *config) {
    const char *value = ncr_variable(&config->variables, "NCCL_REDIRECT");
    if (!ncr_choice_read(value, &config->choice)) {
        config->choice = NCR_CHOOSE_NOTHING;
        ncr_text_add(&config->problem, "NCCL_REDIRECT=\"%s\" is %s; use auto, %s", value,
                     strchr(value, '/') ? "a relative path, which means another file in every folder" : "not a backend",
                     ncr_choice_values);
    }
    config->path = config->choice == NCR_CHOOSE_PATH ? ncr_copy(value) : NULL;
    config->decided_by = ncr_path("NCCL_REDIRECT=%s", value);
}

static void read_choice_of_vllm(struct ncr_config *config, const char *value) {
    if (strcasecmp(value, "true") == 0 || strcmp(value, "1") == 0) {
        config->choice = NCR_CHOOSE_TORCH;
    } else if (strcasecmp(value, "false") == 0 || strcmp(value, "0") == 0) {
        config->choice = NCR_CHOOSE_SYSTEM;
    } else {
        config->choice = NCR_CHOOSE_NOTHING;
        ncr_text_add(&config->problem, "VLLM_USE_PYTORCH_NCCL=\"%s\" is not valid; use true, 1, false or 0", value);
    }
    config->decided_by = ncr_path("VLLM_USE_PYTORCH_NCCL=%s", value);
}

static void read_choices(struct ncr_config *config) {
    const char *vllm = ncr_variable(&config->variables, "VLLM_USE_PYTORCH_NCCL");
    if (ncr_variable(&config->variables, "NCCL_REDIRECT")) {
        read_choice(config);
        if (vllm)
            ncr_text_add(&config->warnings, "VLLM_USE_PYTORCH_NCCL=%s has no effect, %s decides; unset one of them\n",
                         vllm, config->decided_by);
    } else if (vllm) {
        read_choice_of_vllm(config, vllm);
    } else {
        config->choice = NCR_CHOOSE_AUTO;
        config->decided_by = ncr_copy("the default");
    }
}

/*
 * vLLM and SGLang give the value to dlopen, so a bare name is accepted; a relative path would be another file in every
 * folder.
 */
static void read_system_path(struct ncr_config *config) {
    static const char *const variables[] = {"VLLM_NCCL_SO_PATH", "SGLANG_NCCL_SO_PATH"};
    for (int i = 0; i < 2; i++) {
        const char *value = ncr_variable(&config->variables, variables[i]);
        if (!value)
            continue;
        if (*value != '/' && strchr(value, '/')) {
            ncr_text_add(
                &config->errors,
                "%s=\"%s\" is a relative path, which means another file in every folder: ignored; use the absolute "
                "path of a libnccl.so.2, or a bare name that the dynamic loader finds\n",
                variables[i], value);
        } else if (!config->system_path) {
            config->system_path = ncr_copy(value);
            config->system_variable = variables[i];
        } else if (strcmp(config->system_path, value) != 0) {
            ncr_text_add(&config->warnings, "%s=%s has no effect, %s=%s decides; unset one of them\n", variables[i],
                         value, config->system_variable, config->system_path);
        }
    }
}

static void read_range(struct ncr_config *config) {
    const char *value = ncr_variable(&config->variables, "NCCL_REDIRECT_REQUIRE");
    config->require = (struct ncr_range){0, INT_MAX};
    if (!value)
        return;
    config->require_text = ncr_copy(value);
    const char *problem = ncr_range_read(&config->require, value);
    if (!problem)
        return;
    config->choice = NCR_CHOOSE_NOTHING;
    ncr_text_add(&config->problem,
                 "%sNCCL_REDIRECT_REQUIRE=\"%s\" %s; use bounds such as >=2.27,<2.31 or ==2.28.9 "
                 "(operators >= > == < <=)",
                 config->problem.length ? "; " : "", value, problem);
}

/* The index of the value among `values`, or `standard` with a warning. */
static int read_word(struct ncr_config *config, const char *name, const char *const *values, int count, int standard) {
    const char *value = ncr_variable(&config->variables, name);
    if (!value)
        return standard;
    struct ncr_text list = {0};
    for (int i = 0; i < count; i++) {
        if (strcasecmp(value, values[i]) == 0) {
            ncr_text_free(&list);
            return i;
        }
        ncr_text_add(&list, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", values[i]);
    }
    ncr_text_add(&config->errors, "%s=\"%s\" is not valid, the default (%s) is used; use %s\n", name, value,
                 values[standard], ncr_text_get(&list));
    ncr_text_free(&list);
    return standard;
}

static const char *const bind_words[] = {"auto", "start", "first-use"};
static const char *const switch_words[] = {"0", "1"};
static const char *const level_words[] = {"off", "error", "warn", "info", "debug"};

static void read_fallback(struct ncr_config *config) {
    const char *value = ncr_variable(&config->variables, "NCCL_REDIRECT_FALLBACK");
    config->fallback = !value || strcmp(value, "1") == 0;
    if (value && strcmp(value, "0") != 0 && strcmp(value, "1") != 0) {
        config->choice = NCR_CHOOSE_NOTHING;
        ncr_text_add(&config->problem, "%sNCCL_REDIRECT_FALLBACK=\"%s\" is not valid; use 1 or 0",
                     config->problem.length ? "; " : "", value);
    }
}

static void read_history(struct ncr_config *config) {
    const char *folder = ncr_variable(&config->variables, "NCCL_REDIRECT_HISTORY");
    if (folder && *folder == '/')
        config->history = ncr_copy(folder);
    else if (folder && *folder)
        ncr_text_add(&config->warnings, "NCCL_REDIRECT_HISTORY=\"%s\" is not an absolute path; no history is written\n",
                     folder);
}

static void read_trace(struct ncr_config *config) {
    const char *value = ncr_variable(&config->variables, "NCCL_REDIRECT_TRACE");
    const char *records = ncr_variable(&config->variables, "NCCL_REDIRECT_TRACE_RECORDS");
    char *end;
    config->trace_records = 65536;
    if (!value || !*value || strcmp(value, "0") == 0)
        return;
    if (*value == '/' || strcmp(value, "1") == 0)
        config->trace = ncr_copy(value);
    else
        ncr_text_add(&config->errors,
                     "NCCL_REDIRECT_TRACE=\"%s\" is not valid, calls are not recorded; use 1, 0 or the absolute path "
                     "of a folder\n",
                     value);
    unsigned long count = records && *records ? strtoul(records, &end, 10) : 0;
    if (count && !*end && count >= 1024 && count <= 1 << 22 && (count & (count - 1)) == 0)
        config->trace_records = (unsigned)count;
    else if (records && *records)
        ncr_text_add(
            &config->errors,
            "NCCL_REDIRECT_TRACE_RECORDS=\"%s\" is not valid, the default (65536) is used; use a power of two from 1024 to "
            "4194304\n",
            records);
}

/* NCCL's own switch: from VERSION on it prints its version, and so does the shim. */
static bool nccl_debug_on(const struct ncr_config *config) {
    static const char *const words[] = {"VERSION", "WARN", "INFO", "ABORT", "TRACE"};
    const char *value = ncr_variable(&config->variables, "NCCL_DEBUG");
    for (size_t i = 0; value && i < sizeof words / sizeof *words; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

/** Read every variable. Strings are copies: the program may change its environment later. */
void ncr_config_read(struct ncr_config *config) {
    *config = (struct ncr_config){.secure = getauxval(AT_SECURE) != 0};
    ncr_variables_read(&config->variables);
    read_choices(config);
    read_fallback(config);
    read_range(config);
    if (ncr_variable(&config->variables, "NCCL_REDIRECT_RULES"))
        ncr_rules_read(config, ncr_variable(&config->variables, "NCCL_REDIRECT_RULES"));
    config->torch = ncr_copy(ncr_variable(&config->variables, "NCCL_REDIRECT_TORCH"));
    read_system_path(config);
    config->bind = (enum ncr_bind)read_word(config, "NCCL_REDIRECT_BIND", bind_words, 3, NCR_BIND_AUTO);
    config->tag = read_word(config, "NCCL_REDIRECT_TAG", switch_words, 2, 1);
    config->level = (enum ncr_level)read_word(config, "NCCL_REDIRECT_LOG", level_words, 5, NCR_WARN);
    config->log_file = ncr_copy(ncr_variable(&config->variables, "NCCL_REDIRECT_LOG_FILE"));
    read_history(config);
    read_trace(config);
    config->announce = nccl_debug_on(config);
    warn_of_unknown_names(config);
    ncr_variables_free(&config->variables);
}

static void report_lines(enum ncr_level level, const struct ncr_text *lines) {
    for (const char *line = ncr_text_get(lines); *line;) {
        int length = (int)strcspn(line, "\n");
        ncr_log(level, "%.*s", length, line);
        line += length + (line[length] == '\n');
    }
}

/** Log the mistakes in the environment that do not keep NCCL from being selected. */
void ncr_config_report(const struct ncr_config *config) {
    report_lines(NCR_ERROR, &config->errors);
    report_lines(NCR_WARN, &config->warnings);
}

/** NCCL_REDIRECT_BIND alone, as it was at the start. A wrong value counts as auto here. */
NCR_EVERY_PROCESS enum ncr_bind ncr_config_bind(void) {
    const char *value = ncr_environment("NCCL_REDIRECT_BIND");
    for (int i = 0; value && i < 3; i++)
        if (strcasecmp(value, bind_words[i]) == 0)
            return (enum ncr_bind)i;
    return NCR_BIND_AUTO;
}

void ncr_config_free(struct ncr_config *config) {
    char *const strings[] = {config->path,        config->decided_by, config->require_text, config->torch,
                             config->system_path, config->log_file,   config->history,      config->trace};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free(strings[i]);
    ncr_rules_free(config);
    ncr_text_free(&config->problem);
    ncr_text_free(&config->errors);
    ncr_text_free(&config->warnings);
    *config = (struct ncr_config){0};
}
