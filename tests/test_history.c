/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL_REDIRECT_HISTORY: one JSON line per process that opened a backend, a file per host, and nothing else can fail. */
#include "trees.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *redirect;
static struct utsname host;

static int set_up(void **state) {
    (void)state;
    redirect = text("NCCL_REDIRECT=%s", TORCH_NCCL);
    return uname(&host);
}

static const char *content(const char *path) {
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/cat", path));
    const char *all = text("%s", result.out);
    result_free(&result);
    return all;
}

static const char *host_file(const char *folder) {
    return text("%s/%s.jsonl", folder, host.nodename);
}

/* What the program prints is the same with and without a history; returns what is on stderr. */
static const char *recorded(const char *variable, const char *more) {
    struct result result = run(WITH_SHIM, ENV(redirect, variable, more), C_PROGRAM);
    assert_string_equal(result.out, text("libnccl.so.2: version=%d code=0\n", TORCH_VERSION));
    assert_int_equal(result.status, 0);
    const char *said = text("%s", result.err);
    result_free(&result);
    return said;
}

static const char *to(const char *folder) {
    return text("NCCL_REDIRECT_HISTORY=%s", folder);
}

/* Every line is JSON; prints a value of each, one a line. */
static const char *values(const char *file, const char *key) {
    const char *code = "import json, sys\nfor line in open(sys.argv[1]): print(json.loads(line).get(sys.argv[2]))";
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/python3", "-c", code, file, key));
    assert_string_equal(result.err, "");
    const char *all = text("%s", result.out);
    result_free(&result);
    return all;
}

static void a_process_is_a_line(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *file = host_file(folder);
    assert_string_equal(recorded(to(folder), "SLURM_JOB_ID=4711"), "");
    assert_string_equal(values(file, "nccl"), "2.21.5\n");
    assert_string_equal(values(file, "file"), text("%s\n", TORCH_NCCL));
    assert_string_equal(values(file, "job"), "4711\n");
    assert_string_equal(values(file, "host"), text("%s\n", host.nodename));
    assert_string_equal(values(file, "program"), "open_nccl\n");
    assert_string_equal(values(file, "decided_by"), text("%s\n", redirect));
    assert_int_equal(strlen(values(file, "build_id")), 41);
    assert_contains(values(file, "time"), "T");
    assert_string_equal(recorded(to(folder), "RANK=3"), "");
    assert_string_equal(values(file, "rank"), "None\n3\n");
}

static void off_without_the_variable_or_an_nccl(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    recorded("NCCL_REDIRECT_HISTORY=", "A=1");
    struct result result = run(WITH_SHIM, ENV(redirect, to(folder)), CMD("/bin/true"));
    assert_string_equal(result.err, "");
    result_free(&result);
    assert_int_equal(rmdir(folder), 0); /* nothing is in it */
    make_folder(folder);
}

static void what_comes_from_outside_stays_json(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    recorded(to(folder), "RANK=a\"b\\c\nd\033[31m\xff");
    assert_string_equal(values(host_file(folder), "rank"), "a\"b\\c\\nd\\x1b[31m\\xff\n");
}

static void a_long_value_is_cut(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    char *rank = calloc(1, 100001);
    assert_non_null(rank);
    memset(rank, 'r', 100000);
    recorded(to(folder), text("RANK=%s", rank));
    rank[4096] = 0;
    assert_string_equal(values(host_file(folder), "rank"), text("%s\n", rank));
    free(rank);
}

static void a_link_is_not_followed(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *target = text("%s/target", fresh_folder());
    write_file(target, "kept\n");
    make_link(target, host_file(folder));
    const char *said = recorded(to(folder), "A=1");
    assert_contains(said, text("warning: NCCL_REDIRECT_HISTORY=%s: this process is not recorded there: ", folder));
    assert_lines(said, 1);
    assert_string_equal(content(target), "kept\n");
}

static void a_pipe_in_its_place_does_not_block(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    assert_int_equal(mkfifo(host_file(folder), 0600), 0);
    assert_contains(recorded(to(folder), "A=1"), "this process is not recorded there");
}

static void a_folder_that_is_not_there_is_one_warning(void **state) {
    (void)state;
    assert_lines(recorded("NCCL_REDIRECT_HISTORY=/nowhere", "A=1"), 1);
    assert_contains(recorded("NCCL_REDIRECT_HISTORY=/nowhere", "A=1"), "No such file or directory");
    const char *said = recorded("NCCL_REDIRECT_HISTORY=here", "A=1");
    assert_contains(said, "NCCL_REDIRECT_HISTORY=\"here\" is not an absolute path; no history is written");
}

static long size_of_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (long)status.st_size : -1;
}

static void files_stay_below_a_size(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *file = host_file(folder);
    const char *old = text("%s/%s.old.jsonl", folder, host.nodename);
    recorded(to(folder), "A=1");
    assert_in_range(size_of_file(file), 100, 1000);
    assert_int_equal(size_of_file(old), -1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(truncate(file, 4 << 20), 0);
        recorded(to(folder), text("RANK=%d", round));
        assert_string_equal(values(file, "rank"), text("%d\n", round));
        assert_int_equal(size_of_file(old), 4 << 20);
    }
}

/* In a folder where it cannot rename, a process of another user adds to his file up to a size, and then says so. */
static void a_file_that_cannot_be_renamed_has_an_end(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *file = host_file(folder);
    if (geteuid() != 0) {
        print_message("skipped: only root can be two users\n");
        skip();
    }
    write_file(file, "");
    assert_int_equal(chown(file, 12345, 0) | chmod(folder, 0755), 0);
    for (int mebibytes = 4; mebibytes <= 8; mebibytes += 4) {
        assert_int_equal(truncate(file, mebibytes << 20), 0);
        struct result result =
            run(WITH_SHIM, ENV(redirect, to(folder)),
                CMD("/usr/bin/setpriv", "--reuid=12345", "--clear-groups", program("open_nccl"), "libnccl.so.2"));
        assert_int_equal(size_of_file(file) > mebibytes << 20, mebibytes == 4);
        if (mebibytes == 8)
            assert_contains(result.err, "this process is not recorded there: File too large");
        else
            assert_string_equal(result.err, "");
        result_free(&result);
    }
}

/* In a folder for everybody, as /var/log/nccl with mode 1777, a second user gets a file of his own. */
static void each_user_has_a_file(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    if (geteuid() != 0) {
        print_message("skipped: only root can be two users\n");
        skip();
    }
    assert_int_equal(chmod(folder, 01777), 0);
    recorded(to(folder), "A=1");
    struct result result =
        run(WITH_SHIM, ENV(redirect, to(folder)),
            CMD("/usr/bin/setpriv", "--reuid=12345", "--clear-groups", program("open_nccl"), "libnccl.so.2"));
    assert_string_equal(result.err, "");
    result_free(&result);
    assert_string_equal(values(host_file(folder), "user"), "0\n");
    assert_string_equal(values(text("%s/%s.12345.jsonl", folder, host.nodename), "user"), "12345\n");
}

static void standard_descriptors_stay_closed(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    struct result result =
        run(WITH_SHIM, ENV(redirect, to(folder)),
            CMD("/bin/sh", "-c", text("exec <&- >&- 2>&-; exec %s libnccl.so.2", program("open_nccl"))));
    result_free(&result);
    assert_lines(content(host_file(folder)), 1);
}

static struct result list(const char *variable, const char *option, const char *more) {
    return run(WITHOUT_SHIM, ENV(variable), CMD(built("nccl-redirect"), "list", option, more));
}

static void the_tool_reads_it(void **state) {
    (void)state;
    const char *folder = fresh_folder();
    for (int rank = 0; rank < 2; rank++)
        recorded(to(folder), text("RANK=%d", rank));
    write_file(text("%s/other.jsonl", folder),
               "{\"time\":\"2020-01-01T00:00:00Z\",\"host\":\"\\u001b[31mnode\",\"pid\":7,"
               "\"nccl\":\"2.18.3\"}\nno record\n{\"time\":\"2020-01-01T00:0");
    make_link("/etc/passwd", text("%s/link.jsonl", folder));
    struct result result = list(to(folder), "--history", NULL);
    assert_int_equal(result.status, 0);
    assert_string_equal(result.err, "");
    assert_contains(result.out, "2020-01-01T00:00:00Z NCCL 2.18.3  \\x1b[31mnode:7");
    assert_contains(result.out, "unknown file (unknown method, from an unknown place; unknown decided)");
    assert_contains(result.out, "NCCL 2.21.5");
    assert_contains(result.out, "rank 1");
    assert_contains(result.out, "note: 2 lines are not records, or were cut off");
    assert_true(strstr(result.out, "2.18.3") < strstr(result.out, "2.21.5")); /* the newest last */
    result_free(&result);
    result = list("NCCL_REDIRECT_HISTORY=", text("--history=%s", folder), "--json");
    write_file(text("%s/json", folder), result.out);
    const char *code = "import json, sys; o = json.load(open(sys.argv[1])); r = o['records']; "
                       "print(len(r), o['broken_lines'], r[0]['job'], r[1]['rank'], r[1]['pid'] > 1, r[1]['nccl'])";
    struct result read = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/python3", "-c", code, text("%s/json", folder)));
    assert_string_equal(read.out, "3 2 None 0 True 2.21.5\n");
    result_free(&read);
    result_free(&result);
}

static void the_tool_asks_which_folder(void **state) {
    (void)state;
    struct result result = list("A=1", "--history", NULL);
    assert_int_equal(result.status, 2);
    assert_contains(result.err, "which folder? --history=FOLDER");
    result_free(&result);
    result = list("A=1", "--history=/nowhere", NULL);
    assert_int_equal(result.status, 1);
    assert_contains(result.err, "/nowhere: No such file or directory");
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_a_line),
        cmocka_unit_test(off_without_the_variable_or_an_nccl),
        cmocka_unit_test(what_comes_from_outside_stays_json),
        cmocka_unit_test(a_long_value_is_cut),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(a_pipe_in_its_place_does_not_block),
        cmocka_unit_test(a_folder_that_is_not_there_is_one_warning),
        cmocka_unit_test(files_stay_below_a_size),
        cmocka_unit_test(a_file_that_cannot_be_renamed_has_an_end),
        cmocka_unit_test(each_user_has_a_file),
        cmocka_unit_test(standard_descriptors_stay_closed),
        cmocka_unit_test(the_tool_reads_it),
        cmocka_unit_test(the_tool_asks_which_folder),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
