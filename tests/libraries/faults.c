/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/faults.h. Allocations and dlopen are interposed, system calls are caught by a filter of the kernel. */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static struct {
    bool on, all;
    enum fault_kind kind;
    long at, count;
    int error;
} fault;

static bool fails(enum fault_kind kind) {
    if (!fault.on || fault.kind != kind)
        return false;
    long number = fault.count++;
    return number == fault.at || (fault.all && number > fault.at);
}

/* ---- memory ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

static bool no_memory(void) {
    bool none = fails(FAULT_MEMORY);
    if (none)
        errno = ENOMEM;
    return none;
}

void *malloc(size_t size) {
    return no_memory() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return no_memory() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    return no_memory() ? NULL : __libc_realloc(block, size);
}

/* ---- dlopen: the one behind the preload library's, which calls it for a backend ---- */

static void *(*next_dlopen)(const char *file, int mode);

__attribute__((constructor)) static void find_next(void) {
    *(void **)&next_dlopen = dlsym(RTLD_NEXT, "dlopen");
}

/* What the loader then says is made by a file that is not there; the text is its own. */
void *dlopen(const char *file, int mode) {
    return next_dlopen(file && fails(FAULT_DLOPEN) ? "/nowhere/no-such-file" : file, mode);
}

/* ---- system calls ---- */

static const struct {
    int number;
    bool opens, waits, storage; /* by EMFILE and ENFILE; by EINTR; by EIO and ESTALE. All can lack memory */
} calls[] = {
    {SYS_openat, true, true, true},
    {SYS_pread64, false, true, true},
    {SYS_read, false, true, true},
    {SYS_newfstatat, false, false, true},
    {SYS_fstat, false, false, true},
    {SYS_faccessat, false, false, true},
    {SYS_readlinkat, false, false, true},
    {SYS_getdents64, false, false, true},
    {SYS_mmap, false, false, false},
    {SYS_mprotect, false, false, false},
    {SYS_process_vm_readv, false, false, false},
#ifdef SYS_open
    {SYS_open, true, true, true},
    {SYS_access, false, false, true},
    {SYS_stat, false, false, true},
    {SYS_lstat, false, false, true},
    {SYS_readlink, false, false, true},
#endif
};

enum { CALLS = sizeof calls / sizeof *calls };

static bool can_fail(long number, int error) {
    for (int i = 0; i < CALLS; i++)
        if (calls[i].number == number)
            return error == ENOMEM || (calls[i].opens && (error == EMFILE || error == ENFILE)) ||
                   (calls[i].waits && error == EINTR) || (calls[i].storage && (error == EIO || error == ESTALE));
    return false;
}

/* The one place from which the filter lets these calls pass. */
long fault_real_call(long number, long a, long b, long c, long d, long e, long f);
extern const char fault_behind_call[];

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#define REGISTER(u, name) ((u)->uc_mcontext.gregs[REG_##name])
#define NUMBER(u) REGISTER(u, RAX)
#define RESULT(u) REGISTER(u, RAX)
#define ARGUMENTS(u)                                                                                                   \
    REGISTER(u, RDI), REGISTER(u, RSI), REGISTER(u, RDX), REGISTER(u, R10), REGISTER(u, R8), REGISTER(u, R9)
__asm__(
    ".text\n.globl fault_real_call\n.type fault_real_call,@function\nfault_real_call:\n"
    "mov %rdi,%rax\nmov %rsi,%rdi\nmov %rdx,%rsi\nmov %rcx,%rdx\nmov %r8,%r10\nmov %r9,%r8\nmov 8(%rsp),%r9\nsyscall\n"
    ".globl fault_behind_call\nfault_behind_call:\nret\n");
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#define NUMBER(u) ((u)->uc_mcontext.regs[8])
#define RESULT(u) ((u)->uc_mcontext.regs[0])
#define ARGUMENTS(u)                                                                                                   \
    (u)->uc_mcontext.regs[0], (u)->uc_mcontext.regs[1], (u)->uc_mcontext.regs[2], (u)->uc_mcontext.regs[3],            \
        (u)->uc_mcontext.regs[4], (u)->uc_mcontext.regs[5]
__asm__(".text\n.globl fault_real_call\n.type fault_real_call,%function\nfault_real_call:\n"
        "mov x8,x0\nmov x0,x1\nmov x1,x2\nmov x2,x3\nmov x3,x4\nmov x4,x5\nmov x5,x6\nsvc #0\n"
        ".globl fault_behind_call\nfault_behind_call:\nret\n");
#endif

static void on_call(int signal, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    long number = (long)NUMBER(u);
    (void)signal;
    (void)info;
    int before = errno;
    bool failed = fault.on && fault.kind == FAULT_CALL && can_fail(number, fault.error) && fails(FAULT_CALL);
    RESULT(u) = failed ? -fault.error : fault_real_call(number, ARGUMENTS(u));
    errno = before;
}

/* The calls of the table raise SIGSYS, unless they come from fault_real_call. */
static bool watch_calls(void) {
    uint32_t low = (uint32_t)(uintptr_t)fault_behind_call, high = (uint32_t)((uintptr_t)fault_behind_call >> 32);
    struct sock_filter filter[CALLS + 9] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 0, CALLS + 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, CALLS + 1, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    for (int i = 0; i < CALLS; i++) /* each jumps to the last but one, SECCOMP_RET_TRAP */
        filter[7 + i] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number, (uint8_t)(CALLS - i), 0);
    filter[7 + CALLS] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[8 + CALLS] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    struct sock_fprog program = {CALLS + 9, filter};
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool fault_begin(enum fault_kind kind, long at, bool all, int error) {
    fault.kind = kind;
    fault.at = at;
    fault.all = all;
    fault.error = error;
    fault.count = 0;
    fault.on = true;
    return kind != FAULT_CALL || watch_calls();
}

long fault_end(void) {
    fault.on = false;
    return fault.count;
}
