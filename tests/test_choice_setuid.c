/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a set-uid process every variable is ignored: the dynamic loader calls it secure (AT_SECURE), and what its user set
 * must not choose the code that runs with another's rights. The loader ignores LD_PRELOAD there too, so the shim comes
 * in by the program's RUNPATH, as if an administrator had installed it as libnccl.so.2.
 */
#include "trees.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY "65534"

static const char *plain_copy, *setuid_copy;

/* Can that user reach the file? */
static bool nobody_reads(const char *path) {
    struct result result =
        run(WITHOUT_SHIM, NO_ENV,
            CMD("/usr/bin/setpriv", "--reuid=" NOBODY, "--clear-groups", "/bin/sh", "-c", text("exec 3<%s", path)));
    bool good = result.status == 0;
    result_free(&result);
    return good;
}

static int set_up(void **state) {
    (void)state;
    const char *as_nccl = built("tests/as_nccl/libnccl.so.2"), *folder = fresh_folder();
    unlink(as_nccl);
    make_link(shim(), as_nccl);
    plain_copy = text("%s/plain", folder);
    setuid_copy = text("%s/setuid", folder);
    copy_file(program("linked_secure"), plain_copy, -1);
    copy_file(program("linked_secure"), setuid_copy, -1);
    return chmod(setuid_copy, 04755);
}

static struct result run_as_nobody(const char *program, const char *const *environment) {
    return run(WITHOUT_SHIM, environment, CMD("/usr/bin/setpriv", "--reuid=" NOBODY, "--clear-groups", program));
}

static void the_environment_counts_without_the_bit(void **state) {
    (void)state;
    struct result result =
        run_as_nobody(plain_copy, ENV(text("NCCL_REDIRECT=%s", NAMED_NCCL), "NCCL_REDIRECT_LOG=info"));
    assert_contains(result.out, text("version=%d", NAMED_VERSION));
    assert_contains(result.err, "info: NCCL 2.14.3 is active");
    result_free(&result);
}

static void nothing_counts_with_it(void **state) {
    (void)state;
    const char *writable = fresh_folder(), *log = text("%s/log", writable), *site = fresh_folder();
    assert_int_equal(chmod(writable, 0777), 0);
    make_torch(site);
    make_wheel(site, TORCH_NCCL);
    struct result result = run_as_nobody(
        setuid_copy, ENV(text("NCCL_REDIRECT=%s", NAMED_NCCL), text("PYTHONPATH=%s", site),
                         text("NCCL_REDIRECT_TORCH=%s", site), text("VLLM_NCCL_SO_PATH=%s", TORCH_NCCL),
                         text("LD_LIBRARY_PATH=%s", folder_with("libnccl.so.2", SYSTEM_NCCL)), "NCCL_DEBUG=VERSION",
                         "NCCL_REDIRECT_LOG=debug", text("NCCL_REDIRECT_LOG_FILE=%s", log), "NCCL_REDIRECT_UNKNOWN=1"));
    assert_contains(result.out, "version="); /* of whatever the system has */
    assert_lacks(result.out, text("version=%d", NAMED_VERSION));
    assert_lacks(result.out, text("version=%d", TORCH_VERSION));
    assert_lacks(result.out, text("version=%d", SYSTEM_VERSION));
    assert_lacks(result.err, "info:");
    assert_lacks(result.err, "debug:");
    assert_lacks(result.err, "UNKNOWN");
    assert_int_equal(access(log, F_OK), -1);
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_counts_without_the_bit),
        cmocka_unit_test(nothing_counts_with_it),
    };
    if (geteuid() != 0 || access("/usr/bin/setpriv", X_OK) != 0) {
        puts("only root can make a set-uid program for another user, by setpriv of util-linux");
        return NCR_SKIP;
    }
    if (!nobody_reads(shim()) || !nobody_reads(NAMED_NCCL)) {
        printf("user " NOBODY " cannot read %s\n", built(""));
        return NCR_SKIP;
    }
    return cmocka_run_group_tests(tests, set_up, NULL);
}
