/* SPDX-License-Identifier: Apache-2.0 */
/* Text from outside becomes one line without control characters; printable UTF-8 stays as it is. */
#include "support.h"
#include "loader.h"

#include <string.h>

static void assert_visible(const char *bytes, size_t length, const char *wanted) {
    struct ncr_text text = {0};
    ncr_text_add_visible(&text, bytes, length);
    assert_string_equal(ncr_text_get(&text), wanted);
    ncr_text_free(&text);
}

#define VISIBLE(bytes, wanted) assert_visible(bytes, sizeof(bytes) - 1, wanted)

static void printable_text_stays(void **state) {
    (void)state;
    VISIBLE("", "");
    VISIBLE("/opt/a b/libnccl.so.2 \"x\" \\ %s", "/opt/a b/libnccl.so.2 \"x\" \\ %s");
    VISIBLE("/home/jürgen/日本/😀", "/home/jürgen/日本/😀");
    VISIBLE("\xc2\xa0", "\xc2\xa0"); /* the first character behind C1 */
    VISIBLE("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf");
}

static void control_characters_are_named(void **state) {
    (void)state;
    VISIBLE("a\nb\tc\rd", "a\\nb\\tc\\x0dd");
    VISIBLE("\x1b]0;owned\a", "\\x1b]0;owned\\x07");
    VISIBLE("\x7f", "\\x7f");
    VISIBLE("a\0b", "a\\x00b");
    VISIBLE("\xc2\x9b"
            "31m",
            "\\xc2\\x9b31m"); /* CSI as one character of C1 */
}

static void bytes_that_are_not_utf8_are_named(void **state) {
    (void)state;
    VISIBLE("\x9b", "\\x9b");
    VISIBLE("a\xff\xfe", "a\\xff\\xfe");
    VISIBLE("\xc3", "\\xc3");                            /* cut off */
    VISIBLE("\xe2\x82", "\\xe2\\x82");                   /* cut off */
    VISIBLE("\xc0\xaf", "\\xc0\\xaf");                   /* overlong "/" */
    VISIBLE("\xe0\x80\x8a", "\\xe0\\x80\\x8a");          /* overlong newline */
    VISIBLE("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
    VISIBLE("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* beyond U+10FFFF */
    VISIBLE("\xe2\x82\xac\xe2\x28", "\xe2\x82\xac\\xe2(");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_text_stays),
        cmocka_unit_test(control_characters_are_named),
        cmocka_unit_test(bytes_that_are_not_utf8_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
