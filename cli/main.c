/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect: the subcommands, dispatched by the table subcommands.def. */
#include "cli.h"
#include "old_glibc.h"

#include <string.h>
#include <unistd.h>

/* Words that other tools have for it. */
static const char *const synonyms[][2] = {
    {"exec", "run"},      {"start", "run"},        {"launch", "run"},      {"why", "explain"},
    {"which", "explain"}, {"show", "list"},        {"ls", "list"},         {"check", "doctor"},
    {"status", "ps"},     {"stuck", "hang"},       {"diagnose", "doctor"}, {"ldd", "inspect"},
    {"info", "inspect"},  {"hash", "fingerprint"}, {"vars", "env"},        {"environment", "env"},
};

static const char *meant_by(const char *word) {
    const char *names[SUBCOMMAND_COUNT + 2];
    unsigned count = 0;
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
        if (strcmp(word, synonyms[i][0]) == 0)
            return synonyms[i][1];
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        names[count++] = subcommands[i].name;
    names[count++] = "help";
    return nearest_word(word, names, count);
}

static int unknown(const char *word) {
    char *program = *word == '-' ? NULL : find_on_path(word);
    const char *meant = program ? NULL : meant_by(word + strspn(word, "-"));
    if (meant)
        complain("unknown command \"%s\"; did you mean %s?", word, meant);
    else if (program)
        complain(
            "unknown command \"%s\"; nccl-redirect --help lists them. To start that program: nccl-redirect run -- %s",
            word, word);
    else
        complain("unknown command \"%s\"; nccl-redirect --help lists them", word);
    return EXIT_USAGE;
}

static int help(const char *word) {
    const struct subcommand *subcommand = word ? subcommand_named(word) : NULL;
    if (!word)
        overview_print();
    else if (subcommand)
        subcommand_help(subcommand);
    else
        return unknown(word);
    return EXIT_FINE;
}

static bool is_one_of(const char *word, const char *first, const char *second, const char *third) {
    return strcmp(word, first) == 0 || strcmp(word, second) == 0 || strcmp(word, third) == 0;
}

static int dispatch(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        overview_print();
        return EXIT_USAGE;
    }
    if (is_one_of(word, "--help", "-h", "help"))
        return help(strcmp(word, "help") == 0 ? argv[2] : NULL);
    if (is_one_of(word, "--version", "-V", "version")) {
        line_print_whole("nccl-redirect " NCR_VERSION);
        return EXIT_FINE;
    }
    if (strcmp(word, "is-preloaded") == 0) /* doctor starts itself with the preload, and asks */
        return dlsym(RTLD_DEFAULT, "nccl_redirect_version") ? EXIT_FINE : EXIT_FINDING;
    if (strcmp(word, "generate") == 0) /* make docs */
        return generate(argc - 1, argv + 1);
    const struct subcommand *subcommand = subcommand_named(word);
    if (!subcommand)
        return unknown(word);
    struct request request;
    request_parse(subcommand, argv + 2, &request);
    return subcommand->run(&request);
}

int main(int argc, char **argv) {
    descriptors_reserve();
    ncr_file_check_first();
    return output_finish(dispatch(argc, argv));
}
