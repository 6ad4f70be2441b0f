/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is built with the address sanitizer: its runtime must be the first library, so it stands before the
 * shim in LD_PRELOAD; then the shim works as in any program.
 * NOT SANITIZED: it is about the sanitizer itself.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *runtime(void) {
    struct result result = run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", "-print-file-name=libasan.so"));
    result.out[strcspn(result.out, "\n")] = '\0';
    return realpath(result.out, NULL);
}

static const char *sanitized(void) {
    const char *path = text("%s/sanitized", fresh_folder());
    const char *source = text("%s/open.c", fresh_folder());
    write_file(source, "#include <dlfcn.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
                       "int main(int argc, char **argv) {\n"
                       "    int (*get)(int *), version = -1;\n"
                       "    char *volatile heap = malloc(8);\n"
                       "    void *handle = dlopen(argv[1], RTLD_NOW);\n"
                       "    if (!handle) return printf(\"%s\\n\", dlerror()) > 0;\n"
                       "    *(void **)&get = dlsym(handle, \"ncclGetVersion\");\n"
                       "    int code = get(&version);\n"
                       "    printf(\"code=%d version=%d\\n\", code, version);\n"
                       "    fflush(stdout);\n"
                       "    if (argc > 2) heap[8] = 1;\n"
                       "    free(heap);\n"
                       "    return 0;\n}\n");
    struct result result =
        run(WITHOUT_SHIM, NO_ENV, CMD("/usr/bin/gcc", "-g", "-fsanitize=address", "-o", path, source, "-ldl"));
    assert_int_equal(result.status, 0);
    result_free(&result);
    return path;
}

static struct result start(const char *preloads, const char *more) {
    return run(WITHOUT_SHIM,
               ENV(text("NCCL_REDIRECT=%s", real_nccl("cu12-2.21.5")), text("LD_PRELOAD=%s", preloads),
                   "ASAN_OPTIONS=detect_leaks=0"),
               CMD(sanitized(), real_nccl("cu11-2.14.3"), more));
}

static void behind_the_runtime(void **state) {
    (void)state;
    struct result result = start(text("%s:%s", runtime(), shim()), NULL);
    assert_string_equal(result.err, "");
    assert_string_equal(result.out, "code=0 version=22105\n");
    assert_int_equal(result.status, 0);
    result_free(&result);
}

static void errors_are_still_found(void **state) {
    (void)state;
    struct result result = start(text("%s:%s", runtime(), shim()), "overflow");
    assert_string_equal(result.out, "code=0 version=22105\n");
    assert_contains(result.err, "heap-buffer-overflow");
    result_free(&result);
}

/* The sanitizer refuses any other order, with any library; docs/known-issues.md gives the fix. */
static void not_before_it(void **state) {
    (void)state;
    const char *const preloads[] = {shim(), library("empty")};
    for (int i = 0; i < 2; i++) {
        struct result result = start(preloads[i], NULL);
        assert_contains(result.err, "ASan runtime does not come first");
        result_free(&result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behind_the_runtime),
        cmocka_unit_test(errors_are_still_found),
        cmocka_unit_test(not_before_it),
    };
    if (access("/usr/bin/gcc", X_OK) != 0 || !runtime()) {
        printf("there is no gcc with the address sanitizer; apt-get install gcc libasan8\n");
        return NCR_SKIP;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
