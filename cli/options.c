/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of a subcommand, by the table subcommands.def. */
#include "cli.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const struct subcommand subcommands[SUBCOMMAND_COUNT] = {
#define SUBCOMMAND(name, takes, arguments, options, summary, text)                                                     \
    {#name, takes, arguments, options, summary, text, subcommand_##name},
#include "subcommands.def"
};

const struct option_row option_rows[OPTION_COUNT] = {
#define OPTION(name, type, argument, values, meaning)                                                                  \
    {#name, OPTION_##type, offsetof(struct request, name), argument, values, meaning},
#include "subcommands.def"
};

const struct subcommand *subcommand_named(const char *name) {
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        if (strcmp(subcommands[i].name, name) == 0)
            return &subcommands[i];
    return NULL;
}

static bool is_listed(const char *options, const char *end, const char *key) {
    const char *at = strstr(options, formatted(" %s ", key));
    return at && (!end || at < end);
}

/** Has it an effect on the subcommand? */
bool subcommand_has(const struct subcommand *subcommand, const struct option_row *option) {
    return is_listed(subcommand->options, strchr(subcommand->options, '|'), option->key);
}

static bool accepts(const struct subcommand *subcommand, const struct option_row *option) {
    return is_listed(subcommand->options, NULL, option->key);
}

/** As users type it, with dashes. */
const char *option_name(const struct option_row *option) {
    char *name = (char *)formatted("%s", option->key);
    for (char *c = name; (c = strchr(c, '_'));)
        *c = '-';
    return name;
}

/** "off, error, warn, info or debug" */
const char *values_text(const char *values) {
    struct ncr_text text = {0};
    for (const char *at = values; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        bool last = !at[length];
        ncr_text_add(&text, "%s%.*s", at == values ? "" : last ? " or " : ", ", (int)length, at);
        at += length;
    }
    return ncr_text_get(&text);
}

/* ---- wrong arguments ---- */

static _Noreturn void refuse(const struct subcommand *subcommand, const char *what) {
    complain("%s: %s; nccl-redirect help %s lists the options", subcommand->name, what, subcommand->name);
    exit(EXIT_USAGE);
}

static _Noreturn void refuse_unknown(const struct subcommand *subcommand, const char *name) {
    const char *names[OPTION_COUNT];
    unsigned count = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (subcommand_has(subcommand, &option_rows[i]))
            names[count++] = option_name(&option_rows[i]);
    const char *meant = nearest_word(name, names, count);
    refuse(subcommand, meant ? formatted("unknown option --%s; did you mean --%s?", name, meant)
                             : formatted("unknown option --%s", name));
}

/* ---- reading ---- */

struct parsing {
    const struct subcommand *subcommand;
    struct request *request;
    char **at; /* the next argument */
};

/* The option of this name, or the only one that begins with it. */
static const struct option_row *find(const struct subcommand *subcommand, const char *name) {
    const struct option_row *found = NULL;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *full = option_name(&option_rows[i]);
        if (!accepts(subcommand, &option_rows[i]))
            continue;
        if (strcmp(full, name) == 0)
            return &option_rows[i];
        if (*name && ncr_begins(full, name)) {
            if (found)
                refuse(subcommand, formatted("--%s is ambiguous: --%s or --%s", name, option_name(found), full));
            found = &option_rows[i];
        }
    }
    return found;
}

static bool is_value(const struct option_row *option, const char *value) {
    return strstr(formatted(" %s ", option->values), formatted(" %s ", value)) && !strchr(value, ' ');
}

static void take_value(struct parsing *parsing, const struct option_row *option, const char *value) {
    const char *name = option_name(option);
    if (!value && option->type == OPTION_MAYBE)
        value = "1";
    if (!value)
        value = *parsing->at ? *parsing->at++ : "";
    if (!*value)
        refuse(parsing->subcommand, formatted("--%s needs a value: %s", name, option->argument));
    if (option->type == OPTION_WORD && !is_value(option, value))
        refuse(parsing->subcommand,
               formatted("--%s=%s is not accepted; use %s", name, value, values_text(option->values)));
    *(const char **)(void *)((char *)parsing->request + option->place) = value;
}

static void take_option(struct parsing *parsing, const char *argument) {
    const char *equals = strchr(argument, '='), *value = equals ? equals + 1 : NULL;
    const char *name = equals ? formatted("%.*s", (int)(equals - argument), argument) : argument;
    const struct option_row *option = find(parsing->subcommand, name);
    if (!option)
        refuse_unknown(parsing->subcommand, name); /* ends the process */
    else if (option->type != OPTION_SWITCH)
        take_value(parsing, option, value);
    else if (value)
        refuse(parsing->subcommand, formatted("--%s takes no value, but got \"%s\"", name, value));
    else
        *(bool *)((char *)parsing->request + option->place) = true;
}

static void take_argument(struct request *request, char *argument) {
    request->rest = list_grow(request->rest, (size_t)request->rest_count, sizeof *request->rest);
    request->rest[request->rest_count++] = argument;
}

/** Read the arguments of a subcommand; on an error or --help the process ends. */
void request_parse(const struct subcommand *subcommand, char **arguments, struct request *request) {
    struct parsing parsing = {subcommand, request, arguments};
    *request = (struct request){.rest = NULL};
    for (bool options = true; *parsing.at;) {
        char *argument = *parsing.at++;
        if (options && strcmp(argument, "--") == 0) {
            options = false;
        } else if (options && (strcmp(argument, "-h") == 0 || strcmp(argument, "--help") == 0)) {
            subcommand_help(subcommand);
            exit(output_finish(EXIT_FINE));
        } else if (options && ncr_begins(argument, "--")) {
            take_option(&parsing, argument + 2);
        } else if (options && argument[0] == '-' && argument[1]) {
            refuse(subcommand, formatted("unknown option %s", argument));
        } else {
            if (subcommand->takes == TAKES_NOTHING)
                refuse(subcommand, formatted("it takes no argument, but got \"%s\"", argument));
            take_argument(request, argument);
            options &= subcommand->takes != TAKES_COMMAND; /* what follows belongs to the command */
        }
    }
    take_argument(request, NULL);
    request->rest_count--;
}
