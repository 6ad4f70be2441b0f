/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL_REDIRECT_REQUIRE: which versions a range lets through, and what is no range. */
#include "support.h"
#include "loader.h"

#include <stdlib.h>

static struct ncr_config read_range(const char *range) {
    struct ncr_config config;
    clearenv();
    setenv("NCCL_REDIRECT_REQUIRE", range, 1);
    ncr_config_read(&config);
    return config;
}

/* Each range with the last version below it (0: none), its first, its last, and the first above it (0: none). */
static void ranges(void **state) {
    static const struct {
        const char *range;
        int below, first, last, above;
    } cases[] = {
        {">=2.27,<2.31", 22699, 22700, 23099, 23100},
        {">=2.27.3", 22702, 22703, 999999, 0},
        {">2.27.3", 22703, 22704, 999999, 0},
        {">2.27", 22799, 22800, 999999, 0},
        {">2", 29999, 30000, 999999, 0},
        {"<2.27", 0, 1, 22699, 22700},
        {"<=2.27", 0, 1, 22799, 22800},
        {"<=2.27.3", 0, 1, 22703, 22704},
        {"<3", 0, 1, 29999, 30000},
        {"==2.21", 22099, 22100, 22199, 22200},
        {"==2.21.5", 22104, 22105, 22105, 22106},
        {"==2", 19999, 20000, 29999, 30000},
        {" >= 2.27 , < 2.31 ", 22699, 22700, 23099, 23100},
        {">=2.20,>=2.25,<2.30,<=2.28.9", 22499, 22500, 22809, 22810},
        {"==2.28,>=2.28.5", 22804, 22805, 22899, 22900},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ncr_config config = read_range(cases[i].range);
        assert_string_equal(ncr_text_get(&config.problem), "");
        assert_int_equal(config.choice, NCR_CHOOSE_AUTO);
        assert_string_equal(config.require_text, cases[i].range);
        assert_true(config.require.at_least <= cases[i].first && cases[i].last < config.require.below);
        assert_true(!cases[i].below || cases[i].below < config.require.at_least);
        assert_true(!cases[i].above || cases[i].above >= config.require.below);
        ncr_config_free(&config);
    }
}

static void no_ranges(void **state) {
    static const char *const cases[] = {
        "2.27",        "=2.27",   "=>2.27",  "=<2.27",   "===2.27", "!=2.27",  "~=2.27",         ">=",
        ">=2.27,",     ",>=2.27", ">=2.27;", ">=2.x",    ">=2.",    ">=.2",    ">=2.27.3.1",     ">=v2.27",
        ">=2.27 2.31", ">=2.100", ">=100.1", ">=2,,<3",  "any",     ">= 2 .1", ">=2.27<2.31",    ">>2.27",
        ">=2.27.3rc1", ">=-2",    "<>2.27",  ">=2.27 ,", "==2.*",   "2.27-3",  ">=999999999999",
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ncr_config config = read_range(cases[i]);
        assert_string_equal(ncr_text_get(&config.problem),
                            text("NCCL_REDIRECT_REQUIRE=\"%s\" is not a version range; use bounds "
                                 "such as >=2.27,<2.31 "
                                 "or ==2.28.9 (operators >= > == < <=)",
                                 cases[i]));
        assert_int_equal(config.choice, NCR_CHOOSE_NOTHING);
        ncr_config_free(&config);
    }
}

static void contradictions(void **state) {
    static const char *const cases[] = {">=2.31,<2.27", "==2.27,==2.28", ">2.28,<2.29", "<2.27.3,>=2.27.3", "<0"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ncr_config config = read_range(cases[i]);
        assert_contains(ncr_text_get(&config.problem), text("=\"%s\" allows no version;", cases[i]));
        assert_int_equal(config.choice, NCR_CHOOSE_NOTHING);
        ncr_config_free(&config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(no_ranges),
        cmocka_unit_test(contradictions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
