/* nccl-redirect: the verbs, dispatched by the table verbs.def. */
#include "cli.h"
#include "old_glibc.h"

#include <stdlib.h>
#include <string.h>

static void overview(FILE *to) {
    fputs("nccl-redirect: send an unmodified program's NCCL calls to the NCCL that you choose\n\n"
          "usage: nccl-redirect VERB [OPTION...] [ARG...]\n\n",
          to);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(to, "  %-12s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\nnccl-redirect help VERB explains one. Is something wrong? nccl-redirect doctor\n"
          "Exit codes: 0 fine, 1 a finding or a difference, 2 usage, 78 the choice cannot be met,\n"
          "126 and 127 the command cannot be executed or is not found.\n",
          to);
}

/* The verb that was probably meant: it starts as the word does, or the word starts as it does. */
static const char *nearest(const char *word) {
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (*word && (strncmp(verbs[i].name, word, strlen(word)) == 0 ||
                      strncmp(word, verbs[i].name, strlen(verbs[i].name)) == 0 ||
                      (verbs[i].name[0] == word[0] && verbs[i].name[1] == word[1])))
            return verbs[i].name;
    return NULL;
}

static int unknown(const char *word) {
    const char *meant = nearest(word);
    if (meant)
        complain("there is no verb \"%s\"; did you mean %s?", word, meant);
    else
        complain("there is no verb \"%s\"; nccl-redirect --help lists them. To start a command: "
                 "nccl-redirect run -- %s",
                 word, word);
    return EXIT_USAGE;
}

static int help(int argc, char **argv) {
    if (argc < 2) {
        overview(stdout);
        return EXIT_FINE;
    }
    const struct verb *verb = verb_named(argv[1]);
    if (!verb)
        return unknown(argv[1]);
    verb_help(verb);
    return EXIT_FINE;
}

int main(int argc, char **argv) {
    descriptors_reserve();
    ncr_file_check_first();
    if (argc < 2) {
        overview(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(1, argv + 1);
    if (strcmp(word, "help") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        puts("nccl-redirect " NCR_VERSION);
        return EXIT_FINE;
    }
    if (strcmp(word, "is-preloaded") == 0) /* doctor starts itself with the preload, and asks */
        return dlsym(RTLD_DEFAULT, "nccl_redirect_version") ? EXIT_FINE : EXIT_FINDING;
    if (strcmp(word, "generate") == 0) /* make docs */
        return generate(argc - 1, argv + 1);
    const struct verb *verb = verb_named(word);
    if (!verb)
        return unknown(word);
    struct request request;
    request_parse(verb, argc - 1, argv + 1, &request);
    return output_finish(verb->run(&request));
}
