/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of the log can fail, and nothing else can: it lands in no file or connection of the program, leaves no
 * descriptor open, ends or stops no process, and follows no link that another user may have put there.
 */
#include "trees.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define REFUSED "NCCL_REDIRECT=/opt/none/libnccl.so.2"

static const char *content(const char *path) {
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/cat", path));
    const char *all = text("%s", result.out);
    result_free(&result);
    return all;
}

/* Run log_places by a shell that first does what `with` says, such as "2>&-". */
static struct result places(const char *log_file, const char *with, const char *what, const char *path) {
    return run(WITH_SHIM, ENV(REFUSED, text("NCCL_REDIRECT_LOG_FILE=%s", log_file)),
               CMD("/bin/sh", "-c", text("exec %s %s %s %s", program("log_places"), what, path, with)));
}

static void a_file_in_the_place_of_a_closed_stderr_is_left_alone(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"2>&-", "file"}, {"2>&-", "append"}, {"", "replace"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *file = text("%s/own", fresh_folder());
        struct result result = places("", cases[i][0], cases[i][1], file);
        assert_string_equal(result.out, "descriptor 2\n"); /* else this shows nothing */
        assert_string_equal(content(file), "data\ndata\n");
        result_free(&result);
    }
}

static void a_connection_in_the_place_of_stderr_is_left_alone(void **state) {
    (void)state;
    struct result result = places("", "", "socket", "");
    assert_string_equal(result.out, "received -1\n");
    result_free(&result);
}

static void a_log_in_the_place_of_stderr_gets_the_line(void **state) {
    (void)state;
    const char *file = text("%s/log", fresh_folder());
    struct result result = places("", "", "dup", file);
    assert_contains(content(file), "NCCL_REDIRECT=/opt/none/libnccl.so.2");
    result_free(&result);
}

static void the_log_file_takes_no_standard_descriptor(void **state) {
    (void)state;
    static const char *const closed[] = {"<&- 2>&-", "2>&-", "<&-"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        const char *log = text("%s/log", fresh_folder());
        struct result result = places(log, closed[i], "descriptors", "");
        assert_string_equal(result.out, "0 more\n");
        assert_contains(content(log), ": error: ");
        assert_lacks(content(log), "0 more");
        result_free(&result);
    }
}

static void a_file_at_its_limit_does_not_end_the_program(void **state) {
    (void)state;
    const char *log = text("%s/log", fresh_folder());
    struct result result = run(WITH_SHIM, ENV(REFUSED, text("NCCL_REDIRECT_LOG_FILE=%s", log)),
                               CMD("/bin/sh", "-c", text("ulimit -f 0; exec %s twice", program("log_places"))));
    assert_string_equal(result.out, "went on\n");
    assert_contains(result.err, "cannot be written: "); /* told on stderr instead, once */
    assert_contains(result.err, "File too large");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static struct result logged(const char *log) {
    return run(WITH_SHIM, ENV(REFUSED, text("NCCL_REDIRECT_LOG_FILE=%s", log)), CMD(program("log_places"), "twice"));
}

static void a_link_in_a_shared_folder_is_not_followed(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *shared = text("%s/shared", folder), *target = text("%s/target", folder);
    const char *log = text("%s/log", shared);
    write_file(target, "kept\n");
    make_folder(shared);
    make_link(target, log);
    assert_int_equal(chmod(shared, 01777), 0);
    struct result result = logged(log);
    assert_string_equal(content(target), "kept\n");
    assert_contains(result.err, "a symbolic link in a folder that others can write to is not followed");
    result_free(&result);

    assert_int_equal(chmod(shared, 0755), 0); /* nobody else can have put it there: then it is */
    result = logged(log);
    assert_contains(content(target), ": error: ");
    assert_string_equal(result.err, "");
    result_free(&result);
}

static void a_link_by_way_of_a_shared_folder_is_not_followed(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *shared = text("%s/shared", folder), *target = text("%s/target", folder);
    write_file(target, "kept\n");
    make_folder(shared);
    make_link(target, text("%s/second", shared));
    make_link("shared/second", text("%s/log", folder));
    assert_int_equal(chmod(shared, 01777), 0);
    struct result result = logged(text("%s/log", folder));
    assert_string_equal(content(target), "kept\n");
    result_free(&result);
}

static void a_file_with_a_second_name_in_a_shared_folder_is_not_written(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *shared = text("%s/shared", folder), *target = text("%s/target", folder);
    write_file(target, "kept\n");
    make_folder(shared);
    assert_int_equal(link(target, text("%s/log", shared)), 0);
    assert_int_equal(chmod(shared, 01777), 0);
    struct result result = logged(text("%s/log", shared));
    assert_string_equal(content(target), "kept\n");
    assert_contains(result.err, "has a second hard link");
    result_free(&result);
}

static void dev_stderr_is_stderr(void **state) {
    (void)state;
    struct result result = logged("/dev/stderr");
    assert_contains(result.err, ": error: ");
    assert_lacks(result.err, "cannot be written");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_in_the_place_of_a_closed_stderr_is_left_alone),
        cmocka_unit_test(a_connection_in_the_place_of_stderr_is_left_alone),
        cmocka_unit_test(a_log_in_the_place_of_stderr_gets_the_line),
        cmocka_unit_test(the_log_file_takes_no_standard_descriptor),
        cmocka_unit_test(a_file_at_its_limit_does_not_end_the_program),
        cmocka_unit_test(a_link_in_a_shared_folder_is_not_followed),
        cmocka_unit_test(a_link_by_way_of_a_shared_folder_is_not_followed),
        cmocka_unit_test(a_file_with_a_second_name_in_a_shared_folder_is_not_written),
        cmocka_unit_test(dev_stderr_is_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
