/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a library can really be opened is known only by opening it: in a process of its own, so that its
 * constructors, threads and crashes stay out of the tool, and with a time limit.
 */
#include "cli.h"
#include "old_glibc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIME_LIMIT_MS 20000

struct answer {
    int version;
    bool opened;
    char error[1024];
};

/* As loader/dl.c has dlsym: libc's own where it has one, else libdl's. */
#pragma weak dlopen
#if __GLIBC_PREREQ(2, 34)
__asm__(".symver dlopen, dlopen@" NCR_FIRST_GLIBC);
#endif

/* The C library's own dlopen: where the shim is preloaded into the tool itself, its hook must not answer. */
static ncr_dlopen *real_dlopen(void) {
    ncr_dlopen *any = dlopen;
    void *library = any ? any("libdl.so.2", RTLD_NOW) : NULL;
    union {
        void *symbol;
        ncr_dlopen *function;
    } real = {library ? dlsym(library, "dlopen") : dlsym(RTLD_NEXT, "dlopen")};
    return real.function ? real.function : any;
}

static void ask(const char *path, const char *function, struct answer *answer) {
    ncr_dlopen *real = real_dlopen();
    void *handle = real ? real(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    union {
        void *symbol;
        int (*function)(int *);
    } get = {handle && function ? dlsym(handle, function) : NULL};
    const char *error = handle ? "" : dlerror();
    answer->opened = handle != NULL;
    snprintf(answer->error, sizeof answer->error, "%s", error ? error : "the dynamic loader gives no reason");
    if (!get.symbol || get.function(&answer->version) != 0)
        answer->version = 0;
}

static _Noreturn void child(int to, const char *path, const char *function) {
    struct answer answer;
    memset(&answer, 0, sizeof answer);
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    ask(path, function, &answer);
    _exit(write(to, &answer, sizeof answer) == sizeof answer ? 0 : 1);
}

/** Open `path` in a child, and call its `version_function` (int f(int *), or NULL). */
void try_open(const char *path, const char *version_function, struct trial *trial) {
    int ends[2], status = 0;
    struct answer answer;
    *trial = (struct trial){.error = "no process can be started to try it"};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(ends[1], path, version_function);
    close(ends[1]);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    bool late = pid > 0 && poll(&ready, 1, TIME_LIMIT_MS) == 0;
    if (late)
        kill(pid, SIGKILL);
    bool answered = pid > 0 && read(ends[0], &answer, sizeof answer) == sizeof answer;
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return;
    if (answered)
        *trial = (struct trial){answer.opened, formatted("%s", answer.error), answer.version};
    else if (late)
        trial->error = formatted("opening it took more than %d s", TIME_LIMIT_MS / 1000);
    else
        trial->error = WIFSIGNALED(status) ? formatted("opening it ends the process by signal %d (%s)",
                                                       WTERMSIG(status), strsignal(WTERMSIG(status)))
                                           : "opening it ends the process";
}
