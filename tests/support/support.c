/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIME_LIMIT 120 /* seconds for one command */
#define MOST_VARIABLES 64

/* ---- strings that live until the end ---- */

const char *text(const char *format, ...) {
    char *result;
    va_list list;
    va_start(list, format);
    if (vasprintf(&result, format, list) < 0)
        abort();
    va_end(list);
    return result;
}

const char *built(const char *relative) {
    const char *build = getenv("NCR_BUILD");
    if (!build) {
        fprintf(stderr, "NCR_BUILD is not set; run the tests by `make check` or tests/run\n");
        exit(1);
    }
    return text("%s/%s", build, relative);
}

const char *shim(void) {
    return built("libnccl_redirect.so");
}

const char *program(const char *name) {
    return text("%s/%s", built("tests/programs"), name);
}

const char *library(const char *name) {
    return text("%s/%s.so", built("tests/libraries"), name);
}

const char *hostmem(const char *variant) {
    return text("%s/%s/libnccl.so.2", built("hostmem"), variant);
}

const char *real_nccl(const char *wheel) {
    const char *path = text("%s/%s/lib/libnccl.so.2", built("nccl"), wheel);
    if (access(path, R_OK) != 0)
        fail_msg("%s is not there; `make check` fetches it", path);
    return path;
}

/* ---- folders ---- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static const char *root_folder;
static pid_t root_owner;

static void remove_root(void) {
    if (getpid() == root_owner)
        nftw(root_folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fresh_folder(void) {
    static unsigned count;
    if (!root_folder) {
        char *template = strdup("/tmp/ncr-test-XXXXXX");
        if (!mkdtemp(template))
            abort();
        chmod(template, 0755);
        root_folder = template;
        root_owner = getpid();
        atexit(remove_root);
    }
    const char *path = text("%s/%u", root_folder, count++);
    make_folder(path);
    return path;
}

void make_folder(const char *path) {
    char *copy = strdup(path);
    for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(copy, 0755);
        *slash = '/';
    }
    if (mkdir(copy, 0755) != 0 && errno != EEXIST)
        fail_msg("mkdir %s: %s", path, strerror(errno));
    free(copy);
}

static void make_parent(const char *path) {
    char *parent = strdup(path);
    *strrchr(parent, '/') = '\0';
    make_folder(parent);
    free(parent);
}

void write_file(const char *path, const char *content) {
    make_parent(path);
    FILE *file = fopen(path, "w");
    if (!file || fputs(content, file) < 0 || fclose(file) != 0)
        fail_msg("cannot write %s: %s", path, strerror(errno));
}

void make_link(const char *target, const char *path) {
    make_parent(path);
    if (symlink(target, path) != 0)
        fail_msg("cannot link %s: %s", path, strerror(errno));
}

void copy_file(const char *from, const char *to, long size) {
    make_parent(to);
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    if (!in || !out)
        fail_msg("cannot copy %s to %s: %s", from, to, strerror(errno));
    static char piece[1 << 16];
    for (size_t got; size != 0 && (got = fread(piece, 1, sizeof piece, in)) > 0;) {
        if (size > 0 && got > (size_t)size)
            got = (size_t)size;
        size -= size > 0 ? (long)got : 0;
        fwrite(piece, 1, got, out);
    }
    fclose(in);
    fclose(out);
    chmod(to, 0755);
}

/* ---- running ---- */

static char **child_environment(enum preload preload, const char *const *environment) {
    static const char *const sanitizers[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS"}; /* make check-sanitizers */
    char **list = calloc(MOST_VARIABLES + 6, sizeof *list);
    const char *preloads = NULL;
    unsigned count = 0;
    list[count++] = strdup("PATH=/usr/local/bin:/usr/bin:/bin");
    list[count++] = (char *)text("HOME=%s", fresh_folder());
    for (; *environment && count < MOST_VARIABLES; environment++) {
        if (preload == WITH_SHIM && strncmp(*environment, "LD_PRELOAD=", 11) == 0)
            preloads = *environment + 11;
        else if (strncmp(*environment, "PATH=", 5) == 0)
            list[0] = (char *)*environment;
        else if (strncmp(*environment, "HOME=", 5) == 0)
            list[1] = (char *)*environment;
        else
            list[count++] = (char *)*environment;
    }
    for (size_t i = 0; i < sizeof sanitizers / sizeof *sanitizers; i++)
        if (getenv(sanitizers[i]))
            list[count++] = (char *)text("%s=%s", sanitizers[i], getenv(sanitizers[i]));
    if (preload == WITH_SHIM)
        list[count++] = (char *)text("LD_PRELOAD=%s%s%s", preloads ? preloads : "", preloads ? ":" : "", shim());
    return list;
}

static void append(char **text, size_t *length, const char *more, size_t count) {
    *text = realloc(*text, *length + count + 1);
    memcpy(*text + *length, more, count);
    *length += count;
    (*text)[*length] = '\0';
}

static void collect(struct result *result, int out, int err, pid_t child) {
    struct pollfd files[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    char **texts[2] = {&result->out, &result->err};
    size_t lengths[2] = {0, 0};
    char piece[4096];
    time_t end = time(NULL) + TIME_LIMIT;
    append(texts[0], &lengths[0], "", 0);
    append(texts[1], &lengths[1], "", 0);
    while (files[0].fd >= 0 || files[1].fd >= 0) {
        if (time(NULL) >= end || poll(files, 2, 1000) < 0) {
            kill(-child, SIGKILL);
            result->status = 124;
            return;
        }
        for (int i = 0; i < 2; i++) {
            if (files[i].fd < 0 || !files[i].revents)
                continue;
            ssize_t got = read(files[i].fd, piece, sizeof piece);
            if (got > 0)
                append(texts[i], &lengths[i], piece, (size_t)got);
            else
                files[i].fd = -1;
        }
    }
}

struct result run(enum preload preload, const char *const *environment, const char *const *command) {
    int out[2], err[2], status;
    char **variables = child_environment(preload, environment);
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        abort();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        int null = open("/dev/null", O_RDONLY);
        dup2(null, STDIN_FILENO);
        execve(command[0], (char *const *)command, variables);
        fprintf(stderr, "cannot execute %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    struct result result = {.status = -1};
    collect(&result, out[0], err[0], child);
    close(out[0]);
    close(err[0]);
    waitpid(child, &status, 0);
    if (result.status != 124)
        result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    free(variables);
    return result;
}

void result_free(struct result *result) {
    free(result->out);
    free(result->err);
    *result = (struct result){0};
}

void show(const struct result *result) {
    print_message("exit status %d\n--- stdout\n%s\n--- stderr\n%s\n", result->status, result->out, result->err);
}

void assert_contains_at(const char *all, const char *part, bool wanted, const char *file, int line) {
    if ((strstr(all, part) != NULL) == wanted)
        return;
    print_message("%s: \"%s\" %s in:\n%s\n", wanted ? "missing" : "unwanted", part, wanted ? "should be" : "is", all);
    _fail(file, line);
}
