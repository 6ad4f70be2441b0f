/* The command line is its table: help, manual and completions say the same, and what is wrong is told. */
#include "scene.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct scene scene;

static int make_scenes(void **state) {
    (void)state;
    scene = scene_make("no-torch");
    return 0;
}

static const struct {
    const char *name, *options;
} verbs[] = {
#define VERB(name, takes, arguments, options, summary, text) {#name, options},
#include "../cli/verbs.def"
};

#define VERBS (sizeof verbs / sizeof *verbs)

static void every_verb_has_help(void **state) {
    (void)state;
    const char *overview = scene_says(&scene, 0, "nccl-redirect --help");
    for (size_t i = 0; i < VERBS; i++) {
        const char *name = verbs[i].name;
        assert_contains(overview, text("\n  %s ", name));
        const char *help = scene_says(&scene, 0, text("nccl-redirect %s --help", name));
        assert_contains(help, text("Usage: nccl-redirect %s", name));
        assert_string_equal(scene_says(&scene, 0, text("nccl-redirect help %s", name)), help);
        assert_string_equal(scene_says(&scene, 0, text("nccl-redirect %s -h", name)), help);
        char *options = strdup(verbs[i].options);
        for (char *option = strtok(options, " "); option; option = strtok(NULL, " ")) {
            for (char *c = option; (c = strchr(c, '_'));)
                *c = '-';
            assert_contains(help, text("--%s", option));
        }
        for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
            assert_true(strcspn(line, "\n") <= 100);
    }
    assert_contains(scene_says(&scene, 0, "nccl-redirect --version"), "nccl-redirect 0.");
    assert_string_equal(scene_says(&scene, 0, "nccl-redirect help"), overview);
    assert_string_equal(scene_says(&scene, 2, "nccl-redirect"), overview);
}

static void what_is_wrong_is_told(void **state) {
    (void)state;
    assert_contains(scene_says(&scene, 2, "nccl-redirect explan"), "did you mean explain?");
    assert_contains(scene_says(&scene, 2, "nccl-redirect python train.py"), "nccl-redirect run -- python");
    assert_contains(scene_says(&scene, 2, "nccl-redirect help nothing"), "no verb \"nothing\"");
    assert_contains(scene_says(&scene, 2, "nccl-redirect run --usee x -- true"), "unrecognized option");
    assert_contains(scene_says(&scene, 2, "nccl-redirect run --use"), "requires an argument");
    assert_contains(scene_says(&scene, 2, "nccl-redirect list x"), "takes no argument");
    assert_contains(scene_says(&scene, 2, "nccl-redirect env --format x"), "use sh, mpirun, srun, docker");
}

static void colour_is_for_terminals(void **state) {
    (void)state;
    assert_lacks(scene_says(&scene, 1, "unset NO_COLOR; FOR_PROGRAMS=1 nccl-redirect doctor"), "\033");
    if (access("/usr/bin/script", X_OK) != 0) {
        print_message("skipped: no script(1) here to make a terminal\n");
        skip();
    }
    assert_contains(
        scene_says(&scene, 1, "unset NO_COLOR; TERM=xterm /usr/bin/script -qec 'nccl-redirect doctor' /dev/null"),
        "\033[31;1mFAIL");
    assert_lacks(scene_says(&scene, 1, "TERM=xterm /usr/bin/script -qec 'nccl-redirect doctor' /dev/null"), "\033");
    assert_lacks(
        scene_says(&scene, 1, "unset NO_COLOR; TERM=dumb /usr/bin/script -qec 'nccl-redirect doctor' /dev/null"),
        "\033");
}

static void manual_and_completions_are_up_to_date(void **state) {
    (void)state;
    struct result result =
        run(WITHOUT_SHIM, NO_ENV, CMD("/bin/bash", "scripts/make-docs", "--check", built("nccl-redirect")));
    if (result.status != 0)
        show(&result);
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static const char *completed(const char *words) {
    const char *script = text("source %s/cli/completion/nccl-redirect.bash; COMP_WORDS=(nccl-redirect %s); "
                              "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _nccl_redirect; echo \" ${COMPREPLY[*]} \"",
                              getcwd(NULL, 0), words);
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/bash", "-c", script));
    assert_int_equal(result.status, 0);
    return result.out;
}

static void bash_completes(void **state) {
    (void)state;
    assert_string_equal(completed("expl"), " explain \n");
    assert_contains(completed("''"), " doctor ps fingerprint env python help ");
    assert_string_equal(completed("run --us"), " --use= \n");
    assert_string_equal(completed("list --"), " --json --help \n");
    assert_string_equal(completed("run --use = sys"), " system \n");
    assert_contains(completed("env --format ="), " srun ");
    assert_string_equal(completed("help exp"), " explain \n");
    assert_contains(completed("run -- bas"), " bash ");
    assert_contains(completed("run --use = torch bas"), " bash ");
    assert_contains(completed("inspect cl"), " cli ");
    assert_contains(completed("ps 1"), " 1 ");
    assert_string_equal(completed("list x"), "  \n");
}

static void zsh_completes(void **state) {
    (void)state;
    if (access("/usr/bin/zsh", X_OK) != 0) {
        print_message("skipped: no zsh here\n");
        skip();
    }
    const char *script = text("fpath=(%s/cli/completion $fpath); autoload -Uz compinit; compinit -u -D; whence -v "
                              "_nccl-redirect; "
                              "_arguments() { print -l -- \"$@\" }; _describe() { print -l -- ${(P)2} }; "
                              "words=(nccl-redirect run ''); CURRENT=3; _nccl-redirect",
                              getcwd(NULL, 0));
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/zsh", "-fc", script));
    assert_contains(result.out, "--use=[the NCCL that serves");
    assert_contains(result.out, "*::command:_normal");
    assert_string_equal(result.err, "");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verb_has_help),     cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(colour_is_for_terminals), cmocka_unit_test(manual_and_completions_are_up_to_date),
        cmocka_unit_test(bash_completes),          cmocka_unit_test(zsh_completes),
    };
    return cmocka_run_group_tests(tests, make_scenes, NULL);
}
