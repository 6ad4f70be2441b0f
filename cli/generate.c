/* What is made from the tables: completions, and the lists of verbs and variables in the manual (make docs). */
#include "cli.h"

#include <string.h>

/* ---- completions ---- */

static const char *const takes_words[] = {"command", "names", "nothing"};

static const char *words_of(const char *option) {
    if (strcmp(option, "use") == 0)
        return "auto torch system";
    if (strcmp(option, "log") == 0)
        return "off error warn info debug";
    return strcmp(option, "format") == 0 ? "sh mpirun srun docker k8s ray cdi json" : "";
}

static void print_bash(void) {
    printf("    verbs='");
    for (size_t i = 0; i < VERB_COUNT; i++)
        printf("%s%s", i ? " " : "", verbs[i].name);
    puts("'\n    case $verb in");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        printf("    %s) takes=%s options='", verbs[i].name, takes_words[verbs[i].takes]);
        for (size_t j = 0; j < OPTION_COUNT; j++)
            if (verb_has_option(&verbs[i], &option_rows[j]))
                printf("--%s%s ", option_name(&option_rows[j]), option_rows[j].argument ? "=" : "");
        puts("--help' ;;");
    }
    puts("    esac\n    case $option in");
    for (size_t j = 0; j < OPTION_COUNT; j++)
        if (*words_of(option_rows[j].key))
            printf("    --%s) values='%s' ;;\n", option_name(&option_rows[j]), words_of(option_rows[j].key));
    puts("    esac");
}

/* Text inside '...[TEXT]...' of _arguments. */
static const char *for_zsh(const char *text) {
    struct ncr_text result = {0};
    for (; *text; text++)
        ncr_text_add(&result, strchr("[]:\\", *text) ? "\\%c" : *text == '\'' ? "'\\'%c" : "%c", *text);
    return ncr_text_get(&result);
}

static void print_zsh_option(const struct option_row *row) {
    const char *values = words_of(row->key);
    printf("\n            '--%s%s[%s]%s'", option_name(row), row->argument ? "=" : "", for_zsh(row->meaning),
           !row->argument ? ""
           : *values      ? formatted(":%s:(%s)", row->argument, values)
                          : formatted(":%s:", row->argument));
}

static void print_zsh(void) {
    static const char *const rest[] = {"\n            '*::command:_normal'", "\n            '*:file:_files'", ""};
    puts("    verbs=(");
    for (size_t i = 0; i < VERB_COUNT; i++)
        printf("        '%s:%s'\n", verbs[i].name, for_zsh(verbs[i].summary));
    puts("    )\n    case $verb in");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        printf("    %s)\n        arguments=(", verbs[i].name);
        for (size_t j = 0; j < OPTION_COUNT; j++)
            if (verb_has_option(&verbs[i], &option_rows[j]))
                print_zsh_option(&option_rows[j]);
        printf("\n            '--help[print the help]'%s) ;;\n", rest[verbs[i].takes]);
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

static void print_verbs(void) {
    for (size_t i = 0; i < VERB_COUNT; i++) {
        const struct verb *verb = &verbs[i];
        printf(".SS \"%s %s%s\"\n", verb->name, strlen(verb->options) > 1 ? "[OPTION...] " : "", verb->arguments);
        roff(formatted("%c%s.", verb->summary[0] - 'a' + 'A', verb->summary + 1));
        roff(verb->text);
        for (size_t j = 0; j < OPTION_COUNT; j++) {
            const struct option_row *row = &option_rows[j];
            if (!verb_has_option(verb, row))
                continue;
            printf(".TP\n.B ");
            roff(formatted("--%s%s%s", option_name(row), row->argument ? "=" : "", row->argument ? row->argument : ""));
            roff(row->meaning);
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
} products[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"verbs", print_verbs}, {"variables", print_variables}};

int generate(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < sizeof products / sizeof *products; i++)
        if (strcmp(argv[1], products[i].name) == 0) {
            products[i].print();
            return EXIT_FINE;
        }
    complain("generate: bash, zsh, verbs or variables");
    return EXIT_USAGE;
}
