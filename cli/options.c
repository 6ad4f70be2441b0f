/* Arguments and help, by the table verbs.def and argp. */
#include "cli.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct verb verbs[VERB_COUNT] = {
#define VERB(name, takes, arguments, options, summary, text)                                                           \
    {#name, takes, arguments, options, summary, text, verb_##name},
#include "verbs.def"
};

/* The place of an option in the table, and the key by which argp reports it. */
enum option_key {
    FIRST_KEY = 0x100,
#define OPTION(name, argument, meaning) KEY_##name,
#include "verbs.def"
};

const struct option_row option_rows[OPTION_COUNT] = {
#define OPTION(name, argument, meaning) {#name, argument, meaning},
#include "verbs.def"
};

const struct verb *verb_named(const char *name) {
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

bool verb_has_option(const struct verb *verb, const struct option_row *option) {
    return strstr(verb->options, formatted(" %s ", option->key)) != NULL;
}

const char *option_name(const struct option_row *option) {
    char *name = (char *)formatted("%s", option->key);
    for (char *c = name; (c = strchr(c, '_'));)
        *c = '-';
    return name;
}

struct parsing {
    const struct verb *verb;
    struct request *request;
};

static error_t take(int key, char *value, struct argp_state *state) {
    struct parsing *parsing = state->input;
    struct request *request = parsing->request;
    switch (key) {
    case KEY_use:
        request->use = value;
        break;
    case KEY_require:
        request->require = value;
        break;
    case KEY_strict:
        request->strict = true;
        break;
    case KEY_log:
        request->log = value;
        break;
    case KEY_no_check:
        request->no_check = true;
        break;
    case KEY_all:
        request->all = true;
        break;
    case KEY_json:
        request->json = true;
        break;
    case KEY_sha256:
        request->sha256 = true;
        break;
    case KEY_merge:
        request->merge = true;
        break;
    case KEY_enable:
        request->enable = true;
        break;
    case KEY_disable:
        request->disable = true;
        break;
    case KEY_status:
        request->status = true;
        break;
    case KEY_format:
        request->format = value;
        break;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        break;
    case ARGP_KEY_ARG:
        if (parsing->verb->takes == NOTHING)
            argp_error(state, "%s takes no argument, but got \"%s\"", parsing->verb->name, value);
        if (parsing->verb->takes == NAMES)
            return ARGP_ERR_UNKNOWN; /* all of them come with ARGP_KEY_ARGS */
        request->rest = &state->argv[state->next - 1];
        request->rest_count = state->argc - state->next + 1;
        state->next = state->argc;
        break;
    case ARGP_KEY_ARGS:
        request->rest = &state->argv[state->next];
        request->rest_count = state->argc - state->next;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void build(const struct verb *verb, struct argp *argp, struct argp_option options[OPTION_COUNT + 2]) {
    size_t count = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (verb_has_option(verb, &option_rows[i]))
            options[count++] = (struct argp_option){.group = 1 + (int)i, /* keeps the order of the table */
                                                    .name = option_name(&option_rows[i]),
                                                    .key = FIRST_KEY + 1 + (int)i,
                                                    .arg = option_rows[i].argument,
                                                    .doc = option_rows[i].meaning};
    options[count] = (struct argp_option){.key = 'h', .flags = OPTION_HIDDEN};
    *argp = (struct argp){.options = options,
                          .parser = take,
                          .args_doc = verb->arguments,
                          .doc = formatted("nccl-redirect %s: %s\v%s", verb->name, verb->summary, verb->text)};
}

static void prepare_argp(void) {
    argp_err_exit_status = EXIT_USAGE;
    setenv("ARGP_HELP_FMT", "rmargin=99,opt-doc-col=24,long-opt-col=2", 0);
}

/** Read the arguments of a verb; on an error or --help the process ends. */
void request_parse(const struct verb *verb, int argc, char **argv, struct request *request) {
    static char *none[] = {NULL};
    struct argp argp;
    struct argp_option options[OPTION_COUNT + 2] = {0};
    struct parsing parsing = {verb, request};
    prepare_argp();
    build(verb, &argp, options);
    *request = (struct request){.rest = none};
    argv[0] = (char *)formatted("nccl-redirect %s", verb->name);
    /* In order: what follows the command's name belongs to the command. */
    argp_parse(&argp, argc, argv, verb->takes == COMMAND ? ARGP_IN_ORDER : 0, NULL, &parsing);
    unsetenv("ARGP_HELP_FMT"); /* the command would inherit it */
}

/** As with --help. */
void verb_help(const struct verb *verb) {
    char *argv[] = {NULL, (char *)"--help", NULL};
    struct request request;
    request_parse(verb, 2, argv, &request);
}

/* A relative path is meant from here, not from wherever the command will be. */
static const char *absolute(const char *use) {
    char *here = use[0] != '/' && strchr(use, '/') ? getcwd(NULL, 0) : NULL;
    return here ? formatted("%s/%s", here, use) : use;
}

/** Put the choice of the options in the place of the variables, from where the loader reads it. */
void apply_choice(const struct request *request) {
    if (request->use)
        setenv("NCCL_REDIRECT", absolute(request->use), 1);
    if (request->require)
        setenv("NCCL_REDIRECT_REQUIRE", request->require, 1);
    if (request->strict)
        setenv("NCCL_REDIRECT_FALLBACK", "0", 1);
    if (request->log)
        setenv("NCCL_REDIRECT_LOG", request->log, 1);
}
