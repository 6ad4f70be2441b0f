/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps through every instruction of a call inside the preload, and asks at each for the stack: a debugger,
 * a profiler and a C++ exception must find the caller from all of them. Prints "NAME: N instructions, all unwound", or
 * the first address that is not. x86-64 only, by the trap flag.
 *
 * usage: linked_unwind      each function is called once before, so that binding is not stepped through
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <ucontext.h>

int ncclGetVersion(int *version);
int ncclCommCount(void *comm, int *count);

#if defined(__x86_64__)

static uintptr_t entry_start, entry_end;                        /* the code of the preload library */
static const char *volatile caller_start, *volatile caller_end; /* the function below that makes the call */
static volatile int steps;
static volatile uintptr_t lost;

static void on_step(int signal, siginfo_t *info, void *context) {
    uintptr_t here = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    void *frames[16];
    (void)signal;
    (void)info;
    if (here < entry_start || here >= entry_end)
        return;
    steps++;
    int count = backtrace(frames, 16);
    for (int i = 0; i < count; i++)
        if ((const char *)frames[i] >= caller_start && (const char *)frames[i] < caller_end)
            return;
    if (!lost)
        lost = here;
}

#define STEP_BEGIN __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc")
#define STEP_END __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc")

__attribute__((noinline)) static void version(void) {
    int number;
    STEP_BEGIN;
    ncclGetVersion(&number);
    STEP_END;
}

__attribute__((noinline)) static void count(void) {
    int number;
    STEP_BEGIN;
    ncclCommCount(NULL, &number);
    STEP_END;
}

__attribute__((noinline)) static void open_other(void) {
    STEP_BEGIN;
    dlopen("libnothing-of-this-name.so", RTLD_NOW);
    STEP_END;
}

static void check(const char *name, void (*function)(void)) {
    union {
        void (*function)(void);
        const char *address;
    } caller = {function};
    caller_start = caller.address;
    caller_end = caller.address + 256;
    steps = 0;
    lost = 0;
    function();
    if (lost)
        printf("%s: no caller from the instruction at +%#lx\n", name, (unsigned long)(lost - entry_start));
    else
        printf("%s: %s, all unwound\n", name, steps > 0 ? "instructions were stepped through" : "nothing");
}

/* All code of the preload library: entry code, stubs, and what they ask. */
static int find_code(struct dl_phdr_info *info, size_t size, void *function) {
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (!(info->dlpi_phdr[i].p_flags & PF_X) || (uintptr_t)function < start ||
            (uintptr_t)function >= start + info->dlpi_phdr[i].p_memsz)
            continue;
        entry_start = start;
        entry_end = start + info->dlpi_phdr[i].p_memsz;
        return 1;
    }
    return 0;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    void *frame;
    int number;
    backtrace(&frame, 1); /* loads what it needs */
    dl_iterate_phdr(find_code, dlsym(RTLD_DEFAULT, "ncclGetVersion"));
    ncclGetVersion(&number);
    ncclCommCount(NULL, &number);
    sigaction(SIGTRAP, &action, NULL);
    check("ncclGetVersion", version);
    check("ncclCommCount", count);
    check("dlopen", open_other);
    return 0;
}

#else

int main(void) {
    puts("only on x86-64");
    return 77;
}

#endif
