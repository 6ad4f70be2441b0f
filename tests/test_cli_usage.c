/* SPDX-License-Identifier: Apache-2.0 */
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
} commands[] = {
#define SUBCOMMAND(name, takes, arguments, options, summary, text) {#name, options},
#include "../cli/subcommands.def"
};

#define COMMANDS (sizeof commands / sizeof *commands)

static void every_command_has_help(void **state) {
    (void)state;
    const char *overview = scene_says(&scene, 0, "nccl-redirect --help");
    for (size_t i = 0; i < COMMANDS; i++) {
        const char *name = commands[i].name;
        assert_contains(overview, text("\n  %s ", name));
        const char *help = scene_says(&scene, 0, text("nccl-redirect %s --help", name));
        assert_contains(help, text("usage: nccl-redirect %s", name));
        assert_string_equal(scene_says(&scene, 0, text("nccl-redirect help %s", name)), help);
        assert_string_equal(scene_says(&scene, 0, text("nccl-redirect %s -h", name)), help);
        char *options = strndup(commands[i].options, strcspn(commands[i].options, "|"));
        for (char *option = strtok(options, " "); option; option = strtok(NULL, " ")) {
            for (char *c = option; (c = strchr(c, '_'));)
                *c = '-';
            assert_contains(help, text("--%s", option));
        }
        for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
            assert_true(strcspn(line, "\n") <= 100);
    }
    assert_contains(scene_says(&scene, 0, "nccl-redirect --version"), "nccl-redirect 0.");
    assert_contains(scene_says(&scene, 0, "nccl-redirect -V"), "nccl-redirect 0.");
    assert_string_equal(scene_says(&scene, 0, "nccl-redirect help"), overview);
    assert_string_equal(scene_says(&scene, 2, "nccl-redirect"), overview);
}

static void what_is_wrong_is_told(void **state) {
    (void)state;
    static const char *const typed[][2] = {
        {"explan", "did you mean explain?"},
        {"dcotor", "did you mean doctor?"},
        {"fingerprnt", "did you mean fingerprint?"},
        {"exlpain", "did you mean explain?"},
        {"rnu", "did you mean run?"},
        {"lst", "did you mean list?"},
        {"pss", "did you mean ps?"},
        {"--explain", "did you mean explain?"},
        {"check", "did you mean doctor?"},
        {"exec", "did you mean run?"},
        {"python3 train.py", "nccl-redirect run -- python3"},
        {"xyzzy", "unknown command \"xyzzy\"; nccl-redirect --help lists them"},
        {"help nothing", "unknown command \"nothing\""},
        {"run --usee x -- true", "unknown option --usee; did you mean --use?"},
        {"run --requre=x -- true", "did you mean --require?"},
        {"run --xyzzy -- true", "unknown option --xyzzy; nccl-redirect help run lists the options"},
        {"run -x -- true", "unknown option -x"},
        {"run --use", "--use needs a value: BACKEND"},
        {"run --use '' -- true", "--use needs a value: BACKEND"},
        {"run --use= -- true", "--use needs a value: BACKEND"},
        {"run --require= -- true", "--require needs a value: RANGE"},
        {"run --strict=1 -- true", "--strict takes no value, but got \"1\""},
        {"run --s -- true; nccl-redirect fingerprint --s", "--s is ambiguous: --strict or --sha256"},
        {"list x", "takes no argument, but got \"x\""},
        {"env --format x", "--format=x is not accepted; use sh, fish, csh, mpirun, srun"},
        {"run --log loud -- true", "--log=loud is not accepted; use off, error, warn, info or debug"},
        {"env --format 'sh mpirun'", "is not accepted"},
    };
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++)
        assert_contains(unwrapped(scene_says(&scene, 2, text("nccl-redirect %s", typed[i][0]))), typed[i][1]);
}

/* Exchanging the command's name alone keeps the command line valid. */
static void commands_accept_each_others_options(void **state) {
    (void)state;
    static const char *const names[] = {"explain", "doctor", "run"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *options = text("%s --use system --log info --no-check --all -- sh -c :", names[i]);
        assert_lacks(scene_run(&scene, text("nccl-redirect %s", options)).err, "option");
    }
    for (size_t i = 0; i < 2; i++) {
        const char *options = i == 0 ? "env" : "fingerprint";
        assert_lacks(scene_run(&scene, text("nccl-redirect %s --use=system --log=info --no-check --all", options)).err,
                     "option");
    }
}

/* What could not be written is an error: a full disk, and standard output that is closed. */
static void output_that_is_lost_is_an_error(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        print_message("skipped: no /dev/full here\n");
        skip();
    }
    static const char *const lines[] = {"list",      "list --json", "explain",
                                        "doctor",    "env",         "--help",
                                        "--version", "help run",    "inspect bin/nccl-redirect"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_contains(scene_says(&scene, 74, text("nccl-redirect %s >/dev/full", lines[i])),
                        "standard output cannot be written: No space left on device");
        assert_contains(scene_says(&scene, 74, text("nccl-redirect %s >&-", lines[i])),
                        "standard output cannot be written: Bad file descriptor");
    }
    scene_says(&scene, 0, "nccl-redirect run --no-check -- true >&-");
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
    assert_contains(completed("''"), " doctor ps fingerprint env python hang trace top compare help ");
    assert_string_equal(completed("run --us"), " --use= \n");
    assert_string_equal(completed("list --"), " --all --json --history= --help \n");
    assert_string_equal(completed("run --use = sys"), " system \n");
    assert_contains(completed("env --format ="), " srun ");
    assert_string_equal(completed("help exp"), " explain \n");
    assert_contains(completed("run -- bas"), " bash ");
    assert_contains(completed("run --use = torch bas"), " bash ");
    assert_contains(completed("inspect cl"), " cli ");
    assert_contains(completed("ps 1"), " 1 ");
    assert_string_equal(completed("list x"), "  \n");
    /* An option's value is not the command. */
    assert_contains(completed("run --use system bas"), " bash ");
    assert_contains(completed("run --use system -- bas"), " bash ");
    assert_contains(completed("explain --log info --use = torch -- bas"), " bash ");
    assert_string_equal(completed("run --log in"), " info \n");
    assert_string_equal(completed("run --use prog"), " program \n");
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
    assert_contains(result.out, "--use=[the NCCL to use");
    assert_contains(result.out, "*::command:_normal");
    assert_string_equal(result.err, "");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_has_help),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(commands_accept_each_others_options),
        cmocka_unit_test(output_that_is_lost_is_an_error),
        cmocka_unit_test(colour_is_for_terminals),
        cmocka_unit_test(manual_and_completions_are_up_to_date),
        cmocka_unit_test(bash_completes),
        cmocka_unit_test(zsh_completes),
    };
    return cmocka_run_group_tests(tests, make_scenes, NULL);
}
