/* SPDX-License-Identifier: Apache-2.0 */
/* What each value of each variable means to the loader, and what a wrong one is told. */
#include "support.h"
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/* The configuration that these variables, and no others, make. */
static struct ncr_config read_with(const char *const *variables) {
    struct ncr_config config;
    clearenv();
    for (; *variables; variables++)
        putenv((char *)*variables);
    ncr_config_read(&config);
    return config;
}

static void choices(void **state) {
    static const struct {
        const char *variables[3];
        enum ncr_choice choice;
        const char *decided_by;
    } cases[] = {
        {{"X=1"}, NCR_CHOOSE_AUTO, "the default"},
        {{"NCCL_REDIRECT="}, NCR_CHOOSE_AUTO, "the default"},
        {{"NCCL_REDIRECT=auto"}, NCR_CHOOSE_AUTO, "NCCL_REDIRECT=auto"},
        {{"NCCL_REDIRECT=torch"}, NCR_CHOOSE_TORCH, "NCCL_REDIRECT=torch"},
        {{"NCCL_REDIRECT=TORCH"}, NCR_CHOOSE_TORCH, "NCCL_REDIRECT=TORCH"},
        {{"NCCL_REDIRECT=system"}, NCR_CHOOSE_SYSTEM, "NCCL_REDIRECT=system"},
        {{"NCCL_REDIRECT=Program"}, NCR_CHOOSE_PROGRAM, "NCCL_REDIRECT=Program"},
        {{"NCCL_REDIRECT=/a/b"}, NCR_CHOOSE_PATH, "NCCL_REDIRECT=/a/b"},
        {{"VLLM_USE_PYTORCH_NCCL=true"}, NCR_CHOOSE_TORCH, "VLLM_USE_PYTORCH_NCCL=true"},
        {{"VLLM_USE_PYTORCH_NCCL=True"}, NCR_CHOOSE_TORCH, "VLLM_USE_PYTORCH_NCCL=True"},
        {{"VLLM_USE_PYTORCH_NCCL=1"}, NCR_CHOOSE_TORCH, "VLLM_USE_PYTORCH_NCCL=1"},
        {{"VLLM_USE_PYTORCH_NCCL=false"}, NCR_CHOOSE_SYSTEM, "VLLM_USE_PYTORCH_NCCL=false"},
        {{"VLLM_USE_PYTORCH_NCCL=0"}, NCR_CHOOSE_SYSTEM, "VLLM_USE_PYTORCH_NCCL=0"},
        {{"VLLM_USE_PYTORCH_NCCL="}, NCR_CHOOSE_AUTO, "the default"},
        {{"NCCL_REDIRECT=", "VLLM_USE_PYTORCH_NCCL=1"}, NCR_CHOOSE_TORCH, "VLLM_USE_PYTORCH_NCCL=1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ncr_config config = read_with(cases[i].variables);
        assert_int_equal(config.choice, cases[i].choice);
        assert_string_equal(config.decided_by, cases[i].decided_by);
        assert_string_equal(ncr_text_get(&config.problem), "");
        assert_string_equal(ncr_text_get(&config.warnings), "");
        ncr_config_free(&config);
    }
    struct ncr_config config = read_with(ENV("NCCL_REDIRECT=/a/b"));
    assert_string_equal(config.path, "/a/b");
    setenv("NCCL_REDIRECT", "/c", 1); /* programs change their environment */
    assert_string_equal(config.path, "/a/b");
    ncr_config_free(&config);
}

/*
 * An invalid value of a variable that decides which NCCL is used: nothing is chosen, and the message lists what is
 * accepted.
 */
static void wrong_values_that_decide(void **state) {
    static const char *const cases[][2] = {
        {"NCCL_REDIRECT=pytorch", "NCCL_REDIRECT=\"pytorch\" is not a backend; use auto, torch, system, program or the "
                                  "absolute path of a libnccl.so.2"},
        {"NCCL_REDIRECT= torch", "\" torch\" is not a backend"},
        {"NCCL_REDIRECT=libnccl.so.2", "\"libnccl.so.2\" is not a backend"},
        {"NCCL_REDIRECT=lib/libnccl.so.2", "\"lib/libnccl.so.2\" is a relative path, which means another file in every "
                                           "folder; use auto, torch, system, program or the absolute path"},
        {"NCCL_REDIRECT=./x", "is a relative path"},
        {"VLLM_USE_PYTORCH_NCCL=yes", "VLLM_USE_PYTORCH_NCCL=\"yes\" is not valid; use true, 1, false or 0"},
        {"NCCL_REDIRECT_FALLBACK=no", "NCCL_REDIRECT_FALLBACK=\"no\" is not valid; use 1 or 0"},
        {"NCCL_REDIRECT_FALLBACK=2", "use 1 or 0"},
        {"NCCL_REDIRECT_REQUIRE=new", "NCCL_REDIRECT_REQUIRE=\"new\" is not a version range; use bounds such as"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ncr_config config = read_with(ENV(cases[i][0]));
        assert_int_equal(config.choice, NCR_CHOOSE_NOTHING);
        assert_contains(ncr_text_get(&config.problem), cases[i][1]);
        ncr_config_free(&config);
    }
    struct ncr_config config = read_with(ENV("NCCL_REDIRECT=x", "NCCL_REDIRECT_FALLBACK=y"));
    assert_contains(ncr_text_get(&config.problem), "\"x\" is not a backend");
    assert_contains(ncr_text_get(&config.problem), "; NCCL_REDIRECT_FALLBACK=\"y\"");
    ncr_config_free(&config);
}

/* An invalid value of any other variable: an error line, and the default is used. */
static void wrong_values_that_do_not_decide(void **state) {
    static const char *const cases[][2] = {
        {"NCCL_REDIRECT_LOG=verbose", "NCCL_REDIRECT_LOG=\"verbose\" is not valid, the default (warn) is used; "
                                      "use off, error, warn, info or debug\n"},
        {"NCCL_REDIRECT_BIND=late",
         "NCCL_REDIRECT_BIND=\"late\" is not valid, the default (auto) is used; use auto, start or first-use\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ncr_config config = read_with(ENV(cases[i][0]));
        assert_int_equal(config.choice, NCR_CHOOSE_AUTO);
        assert_int_equal(config.level, NCR_WARN);
        assert_int_equal(config.bind, NCR_BIND_AUTO);
        assert_string_equal(ncr_text_get(&config.errors), cases[i][1]);
        ncr_config_free(&config);
    }
}

static void words(void **state) {
    static const struct {
        const char *variable;
        enum ncr_level level;
        enum ncr_bind bind;
        bool announce;
    } cases[] = {
        {"X=1", NCR_WARN, NCR_BIND_AUTO, false},
        {"NCCL_REDIRECT_LOG=", NCR_WARN, NCR_BIND_AUTO, false},
        {"NCCL_REDIRECT_LOG=off", NCR_OFF, NCR_BIND_AUTO, false},
        {"NCCL_REDIRECT_LOG=Error", NCR_ERROR, NCR_BIND_AUTO, false},
        {"NCCL_REDIRECT_LOG=debug", NCR_DEBUG, NCR_BIND_AUTO, false},
        {"NCCL_REDIRECT_BIND=start", NCR_WARN, NCR_BIND_START, false},
        {"NCCL_REDIRECT_BIND=first-use", NCR_WARN, NCR_BIND_FIRST_USE, false},
        {"NCCL_DEBUG=VERSION", NCR_WARN, NCR_BIND_AUTO, true},
        {"NCCL_DEBUG=info", NCR_WARN, NCR_BIND_AUTO, true},
        {"NCCL_DEBUG=NONE", NCR_WARN, NCR_BIND_AUTO, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ncr_config config = read_with(ENV(cases[i].variable));
        assert_int_equal(config.level, cases[i].level);
        assert_int_equal(config.bind, cases[i].bind);
        assert_int_equal(ncr_config_bind(), cases[i].bind);
        assert_int_equal(config.announce, cases[i].announce);
        assert_string_equal(ncr_text_get(&config.errors), "");
        ncr_config_free(&config);
    }
}

static void empty_is_unset(void **state) {
    (void)state;
    struct ncr_config config =
        read_with(ENV("NCCL_REDIRECT_FALLBACK=", "NCCL_REDIRECT_REQUIRE=", "NCCL_REDIRECT_TORCH=",
                      "NCCL_REDIRECT_LOG_FILE=", "VLLM_NCCL_SO_PATH=", "NCCL_REDIRECT_BIND=", "NCCL_DEBUG="));
    assert_int_equal(config.choice, NCR_CHOOSE_AUTO);
    assert_true(config.fallback);
    assert_null(config.require_text);
    assert_null(config.torch);
    assert_null(config.log_file);
    assert_null(config.system_path);
    assert_string_equal(ncr_text_get(&config.problem), "");
    assert_string_equal(ncr_text_get(&config.errors), "");
    assert_string_equal(ncr_text_get(&config.warnings), "");
    ncr_config_free(&config);
}

static void unknown_names_get_the_nearest(void **state) {
    static const char *const cases[][2] = {
        {"NCCL_REDIRECT_FALBACK=0",
         "unknown variable NCCL_REDIRECT_FALBACK ignored; did you mean NCCL_REDIRECT_FALLBACK?\n"},
        {"NCCL_REDIRECT_LOGFILE=/x", "did you mean NCCL_REDIRECT_LOG_FILE?\n"},
        {"NCCL_REDIRECT_TOCH=/x", "did you mean NCCL_REDIRECT_TORCH?\n"},
        {"NCCL_REDIRECT_REQUIRES=>2", "did you mean NCCL_REDIRECT_REQUIRE?\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ncr_config config = read_with(ENV(cases[i][0], "NCCL_REDIRECT_LOG=warn", "NCCL_OTHER=1"));
        assert_contains(ncr_text_get(&config.warnings), cases[i][1]);
        assert_lacks(ncr_text_get(&config.warnings), "NCCL_OTHER");
        assert_int_equal(strchr(ncr_text_get(&config.warnings), 10)[1], 0); /* one line */
        ncr_config_free(&config);
    }
    char long_name[5000] = "NCCL_REDIRECT_";
    memset(long_name + 14, 'X', sizeof long_name - 17);
    strcpy(long_name + sizeof long_name - 3, "=1");
    struct ncr_config config = read_with(ENV(long_name));
    assert_contains(ncr_text_get(&config.warnings), " ignored");
    ncr_config_free(&config);
}

static void ours_wins_over_vllms(void **state) {
    (void)state;
    struct ncr_config config = read_with(ENV("NCCL_REDIRECT=system", "VLLM_USE_PYTORCH_NCCL=1"));
    assert_int_equal(config.choice, NCR_CHOOSE_SYSTEM);
    assert_string_equal(ncr_text_get(&config.warnings), "VLLM_USE_PYTORCH_NCCL=1 has no effect, NCCL_REDIRECT=system "
                                                        "decides; unset one of them\n");
    ncr_config_free(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices),
        cmocka_unit_test(wrong_values_that_decide),
        cmocka_unit_test(wrong_values_that_do_not_decide),
        cmocka_unit_test(words),
        cmocka_unit_test(empty_is_unset),
        cmocka_unit_test(unknown_names_get_the_nearest),
        cmocka_unit_test(ours_wins_over_vllms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
