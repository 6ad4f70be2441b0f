/* SPDX-License-Identifier: Apache-2.0 */
/* What is made from the tables: completions, and the lists of subcommands and variables in the manual (make docs). */
#include "cli.h"

#include <string.h>

/* ---- completions ---- */

static const char *const takes_words[] = {"command", "names", "nothing"};

static void print_bash(void) {
    printf("    commands='");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        printf("%s%s", i ? " " : "", subcommands[i].name);
    puts("'\n    case $command in");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        printf("    %s) takes=%s options='", subcommands[i].name, takes_words[subcommands[i].takes]);
        for (size_t j = 0; j < OPTION_COUNT; j++)
            if (subcommand_has(&subcommands[i], &option_rows[j]))
                printf("--%s%s ", option_name(&option_rows[j]), option_rows[j].argument ? "=" : "");
        puts("--help' ;;");
    }
    puts("    esac\n    case $option in");
    for (size_t j = 0; j < OPTION_COUNT; j++)
        if (*option_rows[j].values)
            printf("    --%s) values='%s' ;;\n", option_name(&option_rows[j]), option_rows[j].values);
    printf("    esac\n    valued=' ");
    for (size_t j = 0; j < OPTION_COUNT; j++)
        if (option_rows[j].type != OPTION_SWITCH && option_rows[j].type != OPTION_MAYBE)
            printf("--%s ", option_name(&option_rows[j]));
    puts("'");
}

/* Text inside '...[TEXT]...' of _arguments. */
static const char *for_zsh(const char *text) {
    struct ncr_text result = {0};
    for (; *text; text++)
        ncr_text_add(&result, strchr("[]:\\", *text) ? "\\%c" : *text == '\'' ? "'\\'%c" : "%c", *text);
    return ncr_text_get(&result);
}

static void print_zsh_option(const struct option_row *row) {
    printf("\n            '--%s%s[%s]%s'", option_name(row), row->argument ? "=" : "", for_zsh(row->meaning),
           !row->argument ? ""
           : *row->values ? formatted(":%s:(%s)", row->argument, row->values)
                          : formatted(":%s:", row->argument));
}

static void print_zsh(void) {
    static const char *const rest[] = {"\n            '*::command:_normal'", "\n            '*:file:_files'", ""};
    puts("    commands=(");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        printf("        '%s:%s'\n", subcommands[i].name, for_zsh(subcommands[i].summary));
    puts("    )\n    case $command in");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        printf("    %s)\n        arguments=(", subcommands[i].name);
        for (size_t j = 0; j < OPTION_COUNT; j++)
            if (subcommand_has(&subcommands[i], &option_rows[j]))
                print_zsh_option(&option_rows[j]);
        printf("\n            '--help[print the help]'%s) ;;\n", rest[subcommands[i].takes]);
    }
    puts("    esac");
}

/* ---- the manual ---- */

/* Text of a roff line: a dash is a minus sign, a backslash is named, a line may not begin with a dot. */
static void roff(const char *text) {
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else
            putchar(*text);
    }
    putchar('\n');
}

static void print_subcommands(void) {
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        const struct subcommand *subcommand = &subcommands[i];
        printf(".SS \"%s %s%s\"\n", subcommand->name, strlen(subcommand->options) > 1 ? "[OPTION...] " : "",
               subcommand->arguments);
        roff(formatted("%c%s.", subcommand->summary[0] - 'a' + 'A', subcommand->summary + 1));
        roff(subcommand->text);
        for (size_t j = 0; j < OPTION_COUNT; j++) {
            const struct option_row *row = &option_rows[j];
            if (!subcommand_has(subcommand, row))
                continue;
            printf(".TP\n.B ");
            roff(formatted("--%s%s%s", option_name(row), row->argument ? "=" : "", row->argument ? row->argument : ""));
            roff(row->type == OPTION_WORD ? formatted("%s: %s", row->meaning, values_text(row->values)) : row->meaning);
        }
    }
}

static void print_variables(void) {
    static const char *const rows[][4] = {
#define XX(name, values, standard, meaning) {#name, values, standard, meaning},
#include "env.def"
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf(".TP\n.B %s\n", rows[i][0]);
        roff(formatted("%s.", rows[i][3]));
        roff(formatted("Values: %s. Default: %s.", rows[i][1], rows[i][2]));
    }
}

static const struct product {
    const char *name;
    void (*print)(void);
} products[] = {
    {"bash", print_bash}, {"zsh", print_zsh}, {"commands", print_subcommands}, {"variables", print_variables}};

int generate(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < sizeof products / sizeof *products; i++)
        if (strcmp(argv[1], products[i].name) == 0) {
            products[i].print();
            return EXIT_FINE;
        }
    complain("generate: bash, zsh, commands or variables");
    return EXIT_USAGE;
}
