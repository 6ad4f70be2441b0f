/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a decision asks the file system: at most 60 calls of our own until the backend is opened, since a job of
 * ten thousand ranks asks one server. Counted by the loader itself (the debug log says so) and, apart from it, by
 * strace.
 */
#include "trees.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_CALLS 60

/* A file that the programs ask for right before they open NCCL. */
#define MARK "/the-decision-begins"
#define PROGRAM CMD(program("open_nccl"), "?" MARK, "libnccl.so.2")
#define PYTHON_LINES PYTHON_IMPORTS "os.access('" MARK "', os.F_OK)\n" PYTHON_CALLS

struct setting {
    const char *name;
    const char *const *environment;
    const char *const *command;
    int version;
};

static struct setting settings[16];
static unsigned setting_count;

static void add(const char *name, const char *const *environment, const char *const *command, int version) {
    size_t most = 12, count = 0;
    const char **copy = calloc(most + 1, sizeof *copy), **words = calloc(most + 1, sizeof *words);
    for (; environment[count]; count++)
        copy[count] = environment[count];
    copy[count] = "NCCL_REDIRECT_LOG=debug";
    for (count = 0; command[count]; count++)
        words[count] = command[count];
    settings[setting_count++] = (struct setting){name, copy, words, version};
}

static int set_up(void **state) {
    (void)state;
    const char *venv = make_venv(true), *libraries = text("%s", fresh_folder());
    make_torch(site_of(venv));
    make_wheel(site_of(venv), TORCH_NCCL);
    for (int i = 0; i < 9; i++)
        libraries = text("%s:%s", libraries, fresh_folder());
    const char *crowded = text("LD_LIBRARY_PATH=%s:%s", libraries, folder_with("libnccl.so.2", SYSTEM_NCCL));
    const char *python = text("%s/bin/python3", venv), *no_torch = text("%s/bin/python3", make_venv(true));
    add("a path", ENV(text("NCCL_REDIRECT=%s", NAMED_NCCL)), PROGRAM, NAMED_VERSION);
    add("torch in a venv", ENV(crowded), CMD(python, "-c", PYTHON_LINES), TORCH_VERSION);
    add("torch in VIRTUAL_ENV", ENV(crowded, text("VIRTUAL_ENV=%s", venv)), PROGRAM, TORCH_VERSION);
    add("system by a long LD_LIBRARY_PATH", ENV(crowded, "NCCL_REDIRECT=system"), PROGRAM, SYSTEM_VERSION);
    add("no torch in this Python, then system", ENV(crowded), CMD(no_torch, "-c", PYTHON_LINES), SYSTEM_VERSION);
    /* A torch as wheels are linked, by RPATH; its wheel elsewhere; none, so that it is on the system's. */
    const char *linked = make_venv(true), *apart = make_venv(true), *bare = make_venv(true), *wheel = fresh_folder();
    const char *const torches[] = {linked, apart, bare};
    for (int i = 0; i < 3; i++) {
        write_file(text("%s/torch/__init__.py", site_of(torches[i])), "");
        copy_file(library("linked_torch_cuda"), text("%s/torch/lib/libtorch_cuda.so", site_of(torches[i])), -1);
    }
    make_wheel(site_of(linked), TORCH_NCCL);
    make_wheel(wheel, TORCH_NCCL);
    add("torch linked by RPATH", ENV(crowded), CMD(text("%s/bin/python3", linked), "-c", PYTHON_LINES), TORCH_VERSION);
    add("torch and its wheel apart", ENV(crowded, text("PYTHONPATH=%s", wheel)),
        CMD(text("%s/bin/python3", apart), "-c", PYTHON_LINES), TORCH_VERSION);
    add("torch on the system's", ENV(crowded, "NCCL_REDIRECT=torch", "NCCL_REDIRECT_FALLBACK=0"),
        CMD(text("%s/bin/python3", bare), "-c", PYTHON_LINES), SYSTEM_VERSION);
    add("a wheel by its path, no torch", ENV(crowded, text("PATH=%s", fresh_folder())),
        CMD(program("open_nccl"), "?" MARK, text("%s/nvidia/nccl/lib/libnccl.so.2", wheel)), TORCH_VERSION);
    add("torch out of range, then system", ENV(crowded, "NCCL_REDIRECT_REQUIRE=>=2.32"),
        CMD(python, "-c", PYTHON_LINES), SYSTEM_VERSION);
    return 0;
}

static unsigned own_count(const char *log) {
    const char *at = strstr(log, " file system calls to find it");
    assert_non_null(at);
    while (at[-1] >= '0' && at[-1] <= '9')
        at--;
    return (unsigned)strtoul(at, NULL, 10);
}

static void by_our_own_count(void **state) {
    (void)state;
    for (unsigned i = 0; i < setting_count; i++) {
        struct result result = run(WITH_SHIM, settings[i].environment, settings[i].command);
        assert_contains(result.out, text("version=%d", settings[i].version));
        unsigned calls = own_count(result.err);
        print_message("%3u calls: %s\n", calls, settings[i].name);
        assert_in_range(calls, 3, MOST_CALLS);
        result_free(&result);
    }
}

/*
 * Of a trace: the calls with a path or a descriptor from the program's mark to the opening of the backend by the
 * dynamic loader, which opens without O_NONBLOCK. All between is ours. close is left out, as in our own count: it asks
 * no server; so are write and what is asked of stderr, which are the log's.
 */
static unsigned traced_count(char *trace, const char *backend) {
    unsigned count = 0;
    bool begun = false;
    for (char *line = strtok(trace, "\n"); line; line = strtok(NULL, "\n")) {
        const char *call = strchr(line, ' ');
        call = call ? call + strspn(call, " ") : line;
        if (strstr(call, MARK)) {
            begun = true;
            continue;
        }
        if (begun && strncmp(call, "openat(", 7) == 0 && strstr(call, backend) && !strstr(call, "O_NONBLOCK"))
            return count;
        const char *argument = strchr(call, '(');
        bool log = argument && strncmp(argument, "(2,", 3) == 0;
        count += begun && !log && strncmp(call, "close(", 6) != 0 && strncmp(call, "write(", 6) != 0;
    }
    fail_msg("the trace does not show the opening of %s", backend);
    return 0;
}

static void by_strace(void **state) {
    (void)state;
    if (access("/usr/bin/strace", X_OK) != 0) {
        print_message("skipped: there is no strace\n");
        skip();
    }
    for (unsigned i = 0; i < setting_count; i++) {
        const char *log = text("%s/trace", fresh_folder()),
                   *command[24] = {"/usr/bin/strace",
                                   "-f",
                                   "-o",
                                   log,
                                   "-s",
                                   "1",
                                   "-e",
                                   "trace=%file,read,pread64,fstat,getdents64,close,write",
                                   "-E",
                                   text("LD_PRELOAD=%s", shim())};
        for (size_t j = 0; settings[i].command[j]; j++)
            command[10 + j] = settings[i].command[j];
        struct result result = run(WITHOUT_SHIM, settings[i].environment, command);
        assert_contains(result.out, text("version=%d", settings[i].version));
        unsigned ours = own_count(result.err);
        const char *serves = strstr(result.err, "is active: ") + strlen("is active: ");
        const char *backend = text("%.*s", (int)strcspn(serves, " "), serves);
        result_free(&result);
        result = run(WITHOUT_SHIM, NO_ENV, CMD("/bin/cat", log));
        unsigned traced = traced_count(result.out, backend);
        print_message("%3u calls traced, %3u counted: %s\n", traced, ours, settings[i].name);
        assert_in_range(traced, 3, MOST_CALLS);
        assert_int_equal(ours, traced);
        result_free(&result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_our_own_count),
        cmocka_unit_test(by_strace),
    };
    if (access(PYTHON, X_OK) != 0) {
        puts("there is no " PYTHON " to run");
        return NCR_SKIP;
    }
    return cmocka_run_group_tests(tests, set_up, NULL);
}
