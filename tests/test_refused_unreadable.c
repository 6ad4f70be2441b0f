/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NCCL that this user may not read is passed over with the reason. Run as another user than root, who may read
 * everything.
 */
#include "trees.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define AS_NOBODY "/usr/bin/setpriv", "--reuid=65534", "--clear-groups"

static struct result run_here(const char *const *environment, const char *program_name) {
    const char *const *plain = CMD(program(program_name), "libnccl.so.2");
    const char *const *other = CMD(AS_NOBODY, program(program_name), "libnccl.so.2");
    return run(WITH_SHIM, environment, geteuid() == 0 ? other : plain);
}

static void a_file_without_permission(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *path = text("%s/libnccl.so.2", folder);
    copy_file(hostmem("plain"), path, -1);
    struct result result = run_here(ENV(text("NCCL_REDIRECT=%s", path)), "linked_version");
    assert_contains(result.out, "version=22809"); /* it would do */
    result_free(&result);
    chmod(path, 0);
    result = run_here(ENV(text("NCCL_REDIRECT=%s", path)), "linked_version");
    assert_int_equal(result.status, 2);
    assert_contains(result.err, text("%s (path, from NCCL_REDIRECT) cannot be read (Permission denied)", path));
    assert_one_line(result.err);
    result_free(&result);
    const char *places = text("LD_LIBRARY_PATH=%s:%s", folder, folder_with("libnccl.so.2", SYSTEM_NCCL));
    result = run_here(ENV(places, "NCCL_REDIRECT=system"), "open_nccl");
    assert_contains(result.out, text("version=%d", SYSTEM_VERSION));
    result_free(&result);
    chmod(path, 0644);
}

static void a_folder_without_permission(void **state) {
    (void)state;
    const char *folder = fresh_folder(), *path = text("%s/libnccl.so.2", folder);
    copy_file(hostmem("plain"), path, -1);
    chmod(folder, 0);
    struct result result = run_here(ENV(text("NCCL_REDIRECT=%s", path)), "linked_version");
    chmod(folder, 0755);
    assert_int_equal(result.status, 2);
    assert_contains(result.err, text("%s (path, from NCCL_REDIRECT) cannot be read (Permission denied)", path));
    result_free(&result);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_without_permission),
        cmocka_unit_test(a_folder_without_permission),
    };
    if (geteuid() == 0) {
        if (access("/usr/bin/setpriv", X_OK) != 0) {
            puts("root may read everything, and there is no setpriv to become another user");
            return NCR_SKIP;
        }
        struct result result = run(WITHOUT_SHIM, NO_ENV, CMD(AS_NOBODY, "/bin/sh", "-c", text("exec 3<%s", shim())));
        if (result.status != 0) {
            printf("user 65534 cannot read %s\n", built(""));
            return NCR_SKIP;
        }
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
