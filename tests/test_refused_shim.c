/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim as its own backend would be a loop: it is known under every name, as a link, a copy, and in its build for
 * RCCL.
 */
#include "trees.h"

#include <string.h>

static const char *forms[6], *good;

static int set_up(void **state) {
    (void)state;
    const char *copy = text("%s/libnccl.so.2.21.5", fresh_folder()), *chain = fresh_folder();
    copy_file(shim(), copy, -1);
    make_link(shim(), text("%s/second", chain));
    make_link("second", text("%s/libnccl.so.2", chain));
    forms[0] = shim();
    forms[1] = text("%s/libnccl.so.2", folder_with("libnccl.so.2", shim()));
    forms[2] = copy;
    forms[3] = text("%s/libnccl.so.2", chain);
    forms[4] = built("librccl_redirect.so");
    forms[5] = text("%s/libnccl.so.2", folder_with("libnccl.so.2", copy));
    good = folder_with("libnccl.so.2", SYSTEM_NCCL);
    return 0;
}

static void named(void **state) {
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct result result = run(WITH_SHIM, ENV(text("NCCL_REDIRECT=%s", forms[i])), CMD(program("linked_version")));
        assert_int_equal(result.status, 2);
        assert_contains(result.err,
                        text("%s (path, from NCCL_REDIRECT) is nccl-redirect itself, not an NCCL", forms[i]));
        assert_one_line(result.err);
        result_free(&result);
    }
}

static void searched(void **state) {
    (void)state;
    for (size_t i = 1; i < 6; i++) {
        if (!strstr(forms[i], "/libnccl.so.2") || i == 2)
            continue;
        const char *folder = text("%.*s", (int)(strrchr(forms[i], '/') - forms[i]), forms[i]);
        assert_serves(ENV(text("LD_LIBRARY_PATH=%s:%s", folder, good), "NCCL_REDIRECT=system"), C_PROGRAM,
                      SYSTEM_VERSION);
        /* As torch's, by a wheel that somebody has replaced. */
        const char *site = fresh_folder();
        make_torch(site);
        make_wheel(site, forms[i]);
        assert_serves(ENV(text("LD_LIBRARY_PATH=%s", good), text("PYTHONPATH=%s", site)), C_PROGRAM, SYSTEM_VERSION);
    }
}

/* The program itself opens the shim, by whatever name: it gets the backend. */
static void opened(void **state) {
    (void)state;
    for (size_t i = 0; i < 6; i++)
        assert_serves(ENV(text("LD_LIBRARY_PATH=%s", good), "NCCL_REDIRECT=system"),
                      CMD(program("open_nccl"), forms[i]), SYSTEM_VERSION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named),
        cmocka_unit_test(searched),
        cmocka_unit_test(opened),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
