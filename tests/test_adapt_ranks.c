/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks that disagree: the unique id tells which NCCL made it, and a rank with another one is refused at once. Ranks
 * with the same one, and ranks without the preload, join.
 */
#include "trees.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *rccl(void) {
    return built("hostmem/rccl/librccl.so.1");
}

static const char *make_id(enum preload preload, const char *path, const char *more) {
    struct result result = run(preload, ENV(text("NCCL_REDIRECT=%s", path), more),
                               CMD(program("adapt_id"), path, "make", preload == WITH_SHIM ? "255" : "0"));
    assert_int_equal(result.status, 0);
    assert_int_equal(strlen(result.out), 256);
    const char *id = text("%s", result.out);
    result_free(&result);
    return id;
}

static struct result join(const char *id, const char *path, const char *form, const char *more) {
    struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", path), "HOSTMEM_TIMEOUT_S=20", more),
                               CMD(program("adapt_id"), path, "join", id, "2", "1", form));
    assert_int_equal(result.status, 0);
    assert_contains(result.out, ", soon: ");
    return result;
}

/* Both ranks at the same time; the shell takes the preload from rank 1 if `bare`. */
static struct result join_both(const char *id, const char *path, const char *path1, bool bare, const char *more) {
    const char *script = text("P=%s; $P %s join %s 2 0 rank & %s NCCL_REDIRECT=%s $P %s join %s 2 1 rank; wait",
                              program("adapt_id"), path, id, bare ? "LD_PRELOAD= " : "", path1, path1, id);
    return run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", path), "HOSTMEM_TIMEOUT_S=20", more),
               CMD("/bin/sh", "-c", script));
}

static void assert_joined(struct result *result) {
    assert_contains(result->out, "rank 0: sum 2\n");
    assert_contains(result->out, "rank 1: sum 2\n");
    result_free(result);
}

static const char *host(void) {
    static struct utsname name;
    uname(&name);
    name.nodename[24] = '\0';
    return name.nodename;
}

static void the_same_nccl_joins(void **state) {
    (void)state;
    const char *id = make_id(WITH_SHIM, hostmem("plain"), NULL);
    struct result result = join_both(id, hostmem("plain"), hostmem("plain"), false, NULL);
    assert_string_equal(result.err, "");
    assert_joined(&result);
}

static void another_one_is_refused_at_once(void **state) {
    static const char *const forms[] = {"rank", "config", "scalable", "group"};
    (void)state;
    /* Of a path that is too long for the tag its end is told. */
    const char *path = text("%s/the/quite/long/and/somewhat/winding/path/of/a/NCCL/libnccl.so.2", fresh_folder());
    copy_file(hostmem("plain"), path, -1);
    const char *id = make_id(WITH_SHIM, path, NULL);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct result result = join(id, hostmem("old"), forms[i], NULL);
        assert_contains(result.out, text("rank 1: code 5, soon: NCCL mismatch: this rank uses NCCL 2.18.3 on %s (%s); ",
                                         host(), hostmem("old")));
        assert_contains(result.out, text("the rank that created the unique ID uses NCCL 2.28.9 on %s (...", host()));
        assert_contains(result.out, "/NCCL/libnccl.so.2). ");
        assert_contains(result.err, "The call returns ncclInvalidUsage");
        if (strcmp(forms[i], "group") == 0)
            assert_lacks(result.out, "end 0");
        result_free(&result);
    }
    struct result result = join(make_id(WITH_SHIM, hostmem("newest"), NULL), hostmem("v22902"), "grow", NULL);
    assert_contains(result.out, "rank 1: code 5, soon: NCCL mismatch: ");
    result_free(&result);
}

static void another_kind_is_refused_too(void **state) {
    (void)state;
    struct result result = join(make_id(WITH_SHIM, rccl(), NULL), hostmem("v22806"), "rank", NULL);
    assert_contains(result.out, "code 5");
    assert_contains(result.out, "this rank uses NCCL 2.28.6 on");
    assert_contains(result.out, "uses RCCL 2.28.6 on");
    result_free(&result);
}

static void ranks_without_the_preload_join(void **state) {
    (void)state;
    const char *id = make_id(WITH_SHIM, hostmem("plain"), NULL);
    struct result result = join_both(id, hostmem("plain"), hostmem("plain"), true, NULL);
    assert_joined(&result);
    id = make_id(WITHOUT_SHIM, hostmem("plain"), NULL);
    result = join_both(id, hostmem("plain"), hostmem("plain"), true, NULL);
    assert_joined(&result);
    /* As does one whose NCCL differs: without a tag nobody knows. */
    result = join_both(id, hostmem("plain"), hostmem("old"), false, NULL);
    assert_joined(&result);
}

static void it_can_be_turned_off(void **state) {
    (void)state;
    const char *off = "NCCL_REDIRECT_TAG=0";
    const char *id = make_id(WITH_SHIM, hostmem("plain"), NULL);
    struct result result = join_both(id, hostmem("plain"), hostmem("old"), false, off);
    assert_joined(&result);
    id = make_id(WITH_SHIM, hostmem("plain"), off);
    assert_non_null(strstr(id + 128, text("%0128d", 0)));
    result = join_both(id, hostmem("plain"), hostmem("old"), false, NULL);
    assert_joined(&result);
}

/* Before any GPU is looked for. */
static void real_nccls_are_told_apart(void **state) {
    (void)state;
    const char *old = real_nccl("cu12-2.21.5"), *new = real_nccl("cu12-2.32.3");
    const char *id = make_id(WITH_SHIM, old, NULL);
    struct result result = join(id, new, "rank", NULL);
    assert_contains(result.out, "code 5");
    assert_contains(result.out, text("this rank uses NCCL 2.32.3 on %s (%s); the rank", host(), new));
    result_free(&result);
    result = join(id, old, "rank", NULL);
    assert_lacks(result.out, "NCCL mismatch");
    result_free(&result);
}

/* Two builds of one version: they join, and each rank but the one with the same build says so once. */
static void another_build_is_told(void **state) {
    (void)state;
    const char *other = hostmem("rebuilt"), *id = make_id(WITH_SHIM, hostmem("plain"), NULL);
    struct result result = join_both(id, hostmem("plain"), other, false, NULL);
    assert_contains(result.err, "ranks use different builds of NCCL 2.28.9: this rank uses build ");
    assert_contains(result.err, text("(%s), the rank that created the unique ID uses build ", other));
    assert_lines(result.err, 1);
    assert_joined(&result);
    result = join_both(id, hostmem("plain"), other, false, "NCCL_REDIRECT_TAG=0");
    assert_string_equal(result.err, "");
    assert_joined(&result);
}

/*
 * Ids between version 0.1.0, whose tag has no build and a path of up to 55 bytes with the host, and this one: tags were
 * written by that version. A path that fills the bytes of the build is no build.
 */
static const char *tag_of_0_1_0(const char *path) {
    static char digits[129];
    unsigned char tag[64] = {'n', 'c', 'R', '1', 0, 2, 28, 9, 'n', 'o', 'd', 'e', '1', 0};
    memcpy(tag + 14, path, strlen(path));
    for (unsigned i = 0; i < sizeof tag; i++)
        snprintf(digits + 2 * i, 3, "%02x", tag[i]);
    return digits;
}

static void ids_of_version_0_1_0_are_read(void **state) {
    (void)state;
    const char *path = "/a/path/that/is/long/enough/for/all/bytes/libnccl";
    const char *id = make_id(WITH_SHIM, hostmem("plain"), "NCCL_REDIRECT_TAG=0");
    const char *old = text("%.128s%s", id, tag_of_0_1_0(path));
    struct result result = join_both(old, hostmem("plain"), hostmem("plain"), false, NULL);
    assert_string_equal(result.err, "");
    assert_joined(&result);
    result = join(old, hostmem("old"), "rank", NULL);
    assert_contains(result.out, text("uses NCCL 2.28.9 on node1 (%s)", path));
    result_free(&result);
}

/* The bytes of the tag are free in each real NCCL that is there, and the rest of the id stays. */
static void real_ids_leave_the_room(void **state) {
    static const char *const wheels[] = {"cu11-2.13.4", "cu11-2.14.3", "cu12-2.16.5", "cu12-2.18.3", "cu12-2.21.5",
                                         "cu12-2.24.3", "cu12-2.27.3", "cu12-2.28.3", "cu12-2.29.2", "cu12-2.29.7",
                                         "cu12-2.30.7", "cu12-2.31.2", "cu12-2.32.3"};
    unsigned seen = 0;
    (void)state;
    for (size_t i = 0; i < sizeof wheels / sizeof *wheels; i++) {
        const char *path = text("%s/%s/lib/libnccl.so.2", built("nccl"), wheels[i]);
        if (access(path, R_OK) != 0)
            continue;
        const char *bare = make_id(WITHOUT_SHIM, path, NULL), *tagged = make_id(WITH_SHIM, path, NULL);
        assert_string_equal(bare + 128, text("%0128d", 0));
        assert_memory_equal(tagged + 128, "6e635231", 8); /* ncR1 */
        seen++;
    }
    assert_true(seen >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_nccl_joins),           cmocka_unit_test(another_one_is_refused_at_once),
        cmocka_unit_test(another_kind_is_refused_too),   cmocka_unit_test(ranks_without_the_preload_join),
        cmocka_unit_test(it_can_be_turned_off),          cmocka_unit_test(real_nccls_are_told_apart),
        cmocka_unit_test(real_ids_leave_the_room),       cmocka_unit_test(another_build_is_told),
        cmocka_unit_test(ids_of_version_0_1_0_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
