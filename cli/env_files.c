/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forms of nccl-redirect env for other shells than sh, and for files: a batch script's header, a systemd drop-in, a
 * Dockerfile, a Jupyter kernel. tests/test_env_files reads them back by the real parsers.
 */
#include "cli.h"

#include <string.h>

/* A backslash before each of these characters. */
static const char *escaped(const char *text, const char *which) {
    struct ncr_text result = {0};
    for (; *text; text++)
        ncr_text_add(&result, strchr(which, *text) ? "\\%c" : "%c", *text);
    return ncr_text_get(&result);
}

/* ---- fish ---- */

/* Quoted, with what no terminal should get as escapes outside of the quotes: \Xff is one byte. */
static const char *fish_word(const char *text) {
    struct ncr_text result = {0};
    ncr_text_add(&result, "'");
    while (*text) {
        size_t length = ncr_text_printable(text, strlen(text));
        if (length)
            ncr_text_add(&result, *text == '\'' || *text == '\\' ? "\\%.*s" : "%.*s", (int)length, text);
        else
            ncr_text_add(&result, "'\\X%02x'", (unsigned char)*text);
        text += length ? length : 1;
    }
    ncr_text_add(&result, "'");
    return ncr_text_get(&result);
}

void env_print_fish(const struct env_plan *plan) {
    for (unsigned i = 0; i < plan->count; i++)
        if (plan->list[i].value)
            printf("set -gx %s %s;\n", plan->list[i].name, fish_word(plan->list[i].value));
        else
            printf("set -e %s;\n", plan->list[i].name);
}

/* ---- csh ---- */

/* For eval "`…`", in double quotes: without them csh would split the lines and expand braces and stars in them. */
const char *env_csh_problem(const char *value) {
    return has_controls(value) || !is_utf8(value) || strpbrk(value, "\n\t")
               ? "csh cannot quote tabs, newlines, control characters and what is not UTF-8; set another value"
               : NULL;
}

void env_print_csh(const struct env_plan *plan) {
    for (unsigned i = 0; i < plan->count; i++) {
        struct ncr_text word = {0};
        for (const char *c = plan->list[i].value; c && *c; c++)
            ncr_text_add(&word, *c == '\'' ? "'\\''" : *c == '!' ? "\\!" : "%c", *c);
        if (plan->list[i].value)
            printf("setenv %s '%s';\n", plan->list[i].name, ncr_text_get(&word));
        else
            printf("unsetenv %s;\n", plan->list[i].name);
    }
}

/* ---- a batch script of Slurm ---- */

/*
 * One line for the script's header. sbatch splits it into words as a shell does, and the list at commas; ALL passes on what
 * the environment of sbatch has.
 */
void env_print_sbatch(const struct env_plan *plan) {
    printf("#SBATCH --export=ALL");
    for (unsigned i = 0; i < plan->count; i++) {
        const struct env_setting *one = &plan->list[i];
        if (strpbrk(one->value, ",'\"\\\n"))
            complain("an #SBATCH line cannot carry %s=%s; write a line of its own below: export %s=%s", one->name,
                     one->value, one->name, shell_word(one->value));
        else
            printf(strpbrk(one->value, " \t#") ? ",%s=\"%s\"" : ",%s=%s", one->name, one->value);
    }
    putchar('\n');
}

/* ---- systemd ---- */

const char *env_systemd_problem(const char *value) {
    return has_controls(value) || !is_utf8(value)
               ? "systemd takes no control characters, and UTF-8 alone; set another value"
               : NULL;
}

/* In quotes, with C's escapes; a percent sign begins a specifier. */
void env_print_systemd(const struct env_plan *plan) {
    puts("# systemctl edit UNIT, or /etc/systemd/system/UNIT.service.d/nccl-redirect.conf\n[Service]");
    for (unsigned i = 0; i < plan->count; i++) {
        struct ncr_text word = {0};
        for (const char *c = plan->list[i].value; c && *c; c++)
            ncr_text_add(&word, *c == '\n' ? "\\n" : *c == '%' ? "%%%%" : strchr("\"\\", *c) ? "\\%c" : "%c", *c);
        if (plan->list[i].value)
            printf("Environment=\"%s=%s\"\n", plan->list[i].name, ncr_text_get(&word));
        else
            printf("UnsetEnvironment=%s\n", plan->list[i].name);
    }
}

/* ---- container images ---- */

const char *env_dockerfile_problem(const char *value) {
    if (has_controls(value) || !is_utf8(value) || strchr(value, '\n'))
        return "a Dockerfile's line takes no control characters and no newline, and UTF-8 alone; set another value";
    return NULL;
}

void env_print_dockerfile(const struct env_plan *plan) {
    const char *const folders[] = {plan->folder, plan->backend_folder};
    for (int i = 0; i < 2 && folders[i]; i++)
        printf("# the image needs %s: COPY it to that very place\n", folders[i]);
    for (unsigned i = 0; i < plan->count; i++)
        printf("ENV %s=\"%s\"\n", plan->list[i].name, escaped(plan->list[i].value, "\"\\$"));
}

/** Its --env is a list of CSV where there is more than one "=", else a text whose last quotes are taken off. */
const char *env_apptainer_problem(const char *value) {
    if (has_controls(value))
        return "it contains control characters; set another value";
    return !strchr(value, '=') && *value && value[strlen(value) - 1] == '"'
               ? "it ends with a quote, which --env takes off"
               : NULL;
}

/** --bind has the colon of docker's --volume, and the comma between two. */
const char *env_apptainer_folder(const char *folder) {
    return strpbrk(folder, ":,") ? "--bind separates its parts by colons and commas; link to it by another name" : NULL;
}

/* One word of --env. */
static const char *apptainer_pair(const struct env_setting *one) {
    struct ncr_text field = {0};
    const char *pair = formatted("%s=%s", one->name, one->value);
    if (!strchr(one->value, '='))
        return pair;
    for (const char *c = pair; *c; c++)
        ncr_text_add(&field, *c == '"' ? "\"\"" : "%c", *c);
    return formatted("\"%s\"", ncr_text_get(&field));
}

void env_print_apptainer(const struct env_plan *plan) {
    const char *const folders[] = {plan->folder, plan->backend_folder};
    struct names words = {NULL, 0};
    for (unsigned i = 0; i < plan->count; i++) {
        names_add(&words, "--env");
        names_add(&words, apptainer_pair(&plan->list[i]));
    }
    for (int i = 0; i < 2 && folders[i]; i++) {
        names_add(&words, "--bind");
        names_add(&words, formatted("%s:%s:ro", folders[i], folders[i]));
    }
    env_print_words(&words, "apptainer exec");
}

/* ---- a Jupyter kernel ---- */

/* kernel.json. Jupyter replaces ${NAME} in values as Python's string.Template does: $$ is one $. */
void env_print_kernelspec(const struct env_plan *plan) {
    static const char *const command[] = {"python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"};
    struct json *spec = json_object(), *argv = json_list(), *env = json_object();
    for (size_t i = 0; i < sizeof command / sizeof *command; i++)
        json_add_text(argv, NULL, command[i]);
    for (unsigned i = 0; i < plan->count; i++) {
        struct ncr_text value = {0};
        for (const char *c = plan->list[i].value; *c; c++)
            ncr_text_add(&value, *c == '$' ? "$$" : "%c", *c);
        json_add_text(env, plan->list[i].name, ncr_text_get(&value));
    }
    json_add(spec, "argv", argv);
    json_add_text(spec, "display_name", "Python 3 (nccl-redirect)");
    json_add_text(spec, "language", "python");
    json_add(spec, "env", env);
    json_print(spec);
}
