/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation, dlopen or system call of a first use fails once, or all from one on, each time in a process of its own:
 *
 *     faults USE KIND VERSION OTHER STEP
 *
 *   USE      version, open, id, available, info, use, communicator: how NCCL is used for the first time
 *   KIND     memory, dlopen, or the name of an error of system calls: EMFILE …
 *   VERSION  what the right NCCL answers; OTHER: the path of another one, 21803, for the last two of these
 *   STEP     1: each of them; 7: every seventh
 *
 * Right is: the right NCCL, or an error with a reason in words; and at the next call, when nothing fails any more, the right
 * NCCL. Prints how many faults there were, and each that was not survived.
 */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nccl_redirect.h"

struct id {
    char bytes[128];
};

static struct {
    int (*get_version)(int *);
    int (*get_id)(struct id *);
    int (*init_rank)(void **, int, struct id, int);
    int (*destroy)(void *);
    const char *(*last_error)(void *);
    nccl_redirect_available_fn *available;
    nccl_redirect_info_fn *info;
    nccl_redirect_use_fn *use;
} functions;

static const char *other, *program;

static void look_up(const char *name, void *function) {
    void *address = dlsym(RTLD_DEFAULT, name);
    if (!address) {
        printf("there is no %s\n", name);
        exit(2);
    }
    memcpy(function, &address, sizeof address);
}

/* What one use came to: a version, or 0 and why. */
struct outcome {
    int version;
    char why[400];
};

static void keep_why(struct outcome *outcome, const char *why) {
    snprintf(outcome->why, sizeof outcome->why, "%s", why ? why : "");
}

static void ask_version(struct outcome *outcome) {
    if (functions.get_version(&outcome->version) != 0) {
        outcome->version = 0;
        keep_why(outcome, functions.last_error(NULL));
    }
}

static void use_open(struct outcome *outcome) {
    void *handle = dlopen(program ? program : "libnccl.so.2", RTLD_NOW);
    if (handle)
        ask_version(outcome);
    else
        keep_why(outcome, dlerror());
}

/* A unique id says nothing of its library: the version does. */
static void use_id(struct outcome *outcome) {
    struct id id;
    if (functions.get_id(&id) == 0)
        ask_version(outcome);
    else
        keep_why(outcome, functions.last_error(NULL));
}

static void use_available(struct outcome *outcome) {
    const char *choice = getenv("NCCL_REDIRECT");
    char reason[400];
    if (functions.available(choice && strcmp(choice, "auto") != 0 ? choice : "system", reason, sizeof reason))
        outcome->version = strstr(reason, "/first/") || strstr(reason, "/tls/") ? 22809 : 1;
    else
        keep_why(outcome, reason);
}

static void use_info(struct outcome *outcome) {
    struct nccl_redirect_info info = {.size = sizeof info};
    functions.info(NULL, &info);
    outcome->version = info.version;
    keep_why(outcome, info.why);
}

/* The thread's choice, a library besides the default one. */
static void use_use(struct outcome *outcome) {
    if (functions.use(other) == 0)
        ask_version(outcome);
    else
        keep_why(outcome, functions.last_error(NULL));
}

/* The same, and a communicator of that library, which must be known for one of it. */
static void use_communicator(struct outcome *outcome) {
    struct nccl_redirect_info info = {.size = sizeof info};
    struct id id;
    void *communicator = NULL;
    if (functions.use(other) != 0 || functions.get_id(&id) != 0 || functions.init_rank(&communicator, 1, id, 0) != 0) {
        keep_why(outcome, functions.last_error(NULL));
        return;
    }
    functions.info(communicator, &info);
    outcome->version = info.version;
    functions.destroy(communicator);
}

static const struct {
    const char *name;
    void (*use)(struct outcome *outcome);
} uses[] = {{"version", ask_version},          {"open", use_open}, {"id", use_id},
            {"available", use_available},      {"info", use_info}, {"use", use_use},
            {"communicator", use_communicator}};

/* ---- one process ---- */

struct report {
    long count; /* of what could have failed */
    struct outcome first, next;
};

static enum fault_kind kind;
static int error;
static char log_file[64];

static void child(void (*use)(struct outcome *), long at, bool all, int to) {
    struct report report = {0};
    /* As dup2 would, into the file: what is said on stderr is looked at, too. */
    int file = open(log_file, O_WRONLY | O_APPEND | O_CREAT, 0600);
    dup2(file, STDERR_FILENO);
    alarm(20);
    if (!fault_begin(kind, at, all, error))
        _exit(77);
    use(&report.first);
    report.count = fault_end();
    use(&report.next);
    if (write(to, &report, sizeof report) != sizeof report)
        _exit(1);
    _exit(0);
}

/* One event is one line, of a known beginning, and none comes twice. */
static bool is_log_wrong(void) {
    static char text[1 << 20];
    int file = open(log_file, O_RDONLY);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    close(file);
    unlink(log_file);
    text[length > 0 ? length : 0] = '\0';
    if (length > 0 && text[length - 1] != '\n')
        return true;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        bool whole =
            strncmp(line, "nccl-redirect: ", 15) == 0 && (strstr(line, ": error: ") || strstr(line, ": warning: ") ||
                                                          strstr(line, ": info: ") || strstr(line, ": debug: "));
        if (!whole) {
            printf("    log: \"%s\"\n", line);
            return true;
        }
        for (char *earlier = text; earlier < line && !strstr(line, ": debug: "); earlier += strlen(earlier) + 1)
            if (strcmp(earlier, line) == 0) {
                printf("    log, twice: \"%s\"\n", line);
                return true;
            }
    }
    return false;
}

static const char *const reasons[] = {"Cannot allocate memory",        "out of memory",      "no free file descriptor",
                                      "Interrupted system call",       "Input/output error", "Stale file handle",
                                      "cannot open shared object file"};

static bool has_reason(const char *why) {
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strstr(why, reasons[i]))
            return true;
    return false;
}

static const char *fault_of(const struct report *report, int version) {
    bool lasts = kind == FAULT_DLOPEN; /* by a file that is not there: then another one may be active */
    if (report->first.version && report->first.version != version && !lasts)
        return "another NCCL";
    if (!report->first.version && !has_reason(report->first.why))
        return "no reason";
    return report->next.version != version && !lasts ? "not at the next call" : NULL;
}

struct sum {
    long runs, errors, bad;
};

/* Returns how many could have failed; -1 if the kernel does not allow the filter. */
static long run(void (*use)(struct outcome *), long at, bool all, int version, struct sum *sum) {
    int ends[2], status;
    struct report report = {0};
    if (pipe(ends) != 0)
        exit(2);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        child(use, at, all, ends[1]);
    close(ends[1]);
    ssize_t got = read(ends[0], &report, sizeof report);
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return -1;
    const char *fault = got != sizeof report ? "it did not end well" : fault_of(&report, version);
    bool log = is_log_wrong();
    sum->runs += got != sizeof report || report.count > at;
    sum->errors += !report.first.version;
    sum->bad += fault || log;
    if (fault || log)
        printf("  %s %ld: %s (status 0x%x): %d \"%s\"; then %d \"%s\"\n", all ? "all from" : "only", at,
               fault ? fault : "log", (unsigned)status, report.first.version, report.first.why, report.next.version,
               report.next.why);
    return got == sizeof report ? report.count : at + 1;
}

static int error_named(const char *name) {
    static const struct {
        const char *name;
        int error;
    } errors[] = {{"ENOMEM", ENOMEM}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE},
                  {"EINTR", EINTR},   {"EIO", EIO},       {"ESTALE", ESTALE}};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(name, errors[i].name) == 0)
            return errors[i].error;
    return 0;
}

int main(int argc, char **argv) {
    struct sum sum = {0, 0, 0};
    if (argc < 6)
        return 2;
    snprintf(log_file, sizeof log_file, "/tmp/faults.%d", (int)getpid());
    setenv("NCCL_REDIRECT_LOG", "debug", 1);
    setenv("NCCL_REDIRECT_LOG_FILE", log_file, 1);
    look_up("ncclGetVersion", &functions.get_version);
    look_up("ncclGetUniqueId", &functions.get_id);
    look_up("ncclCommInitRank", &functions.init_rank);
    look_up("ncclCommDestroy", &functions.destroy);
    look_up("ncclGetLastError", &functions.last_error);
    look_up("nccl_redirect_available", &functions.available);
    look_up("nccl_redirect_info", &functions.info);
    look_up("nccl_redirect_use", &functions.use);
    kind = strcmp(argv[2], "memory") == 0 ? FAULT_MEMORY : strcmp(argv[2], "dlopen") == 0 ? FAULT_DLOPEN : FAULT_CALL;
    error = error_named(argv[2]);
    other = argv[4];
    program = getenv("FAULTS_OPENS");
    long step = atol(argv[5]);
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        for (int all = 0; all < 2 && strcmp(argv[1], uses[i].name) == 0; all++) {
            int version = uses[i].use == use_use || uses[i].use == use_communicator ? 21803 : atoi(argv[3]);
            for (long at = 0, count = 1; at < count && sum.bad < 100;
                 at += step) { /* up to one that is never reached */
                count = run(uses[i].use, at, all, version, &sum);
                count = count > at ? at + step + 1 : count;
                if (count < 0) {
                    printf("the kernel allows no filter of system calls\n");
                    return 77;
                }
            }
        }
    printf("%ld faults, %ld errors in words, %ld not survived\n", sum.runs, sum.errors, sum.bad);
    return sum.bad || (!sum.runs && kind != FAULT_DLOPEN); /* who only asks opens nothing */
}
