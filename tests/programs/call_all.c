/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls every function of the table by both names with known values in all argument registers and on the stack, and
 * compares with what the recording backend saw and answered. Each call is the first of its process, and then one of
 * many.
 *
 * usage: call_all RECORDER [no-aliases]          prints one line per difference, and the count of
 * good calls
 */
#include "../libraries/recording.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct name {
    const char *name;
    unsigned number; /* as the recorder counts */
    bool why;        /* ncclGetLastError: the shim looks at it, and hands on its one argument */
};

static struct name names[512];
static unsigned count;

/* These look at their arguments in every version (shim/adapt/adapt.c): tests/test_abi_structs.c has their prototypes. */
static bool is_adapted(const char *name) {
    static const char *const adapted[] = {"ncclGetUniqueId",
                                          "ncclCommGetUniqueId",
                                          "ncclCommInitRank",
                                          "ncclCommInitAll",
                                          "ncclCommInitRankConfig",
                                          "ncclCommInitRankScalable",
                                          "ncclCommSplit",
                                          "ncclCommShrink",
                                          "ncclCommGrow",
                                          "ncclCommWindowRegister",
                                          "ncclLsaBarrierCreateRequirement",
                                          "ncclLLA2ACreateRequirement",
                                          "ncclSetEncryption"};
    for (size_t i = 0; i < sizeof adapted / sizeof *adapted; i++)
        if (strcmp(adapted[i], name + (*name == 'p')) == 0)
            return true;
    return false;
}

static void add(const char *name, unsigned number, bool why) {
    if (is_adapted(name))
        return;
    names[count++] = (struct name){name, number, why};
}

/* ncclGetLastError and its alias are one way: the shim asks the backend by the plain name. */
static void add_both(const char *name, const char *alias, unsigned row, bool why, bool aliases) {
    add(name, 2 * row, why);
    add(alias, 2 * row + (aliases && !why), why);
}

static void list_names(bool aliases) {
    unsigned row = 0;
#define XX(name, since, result, route, makes) add_both(#name, "p" #name, row++, strcmp(#route, "WHY") == 0, aliases);
#define XX_SOLO(name, since, result, route, makes) add(#name, 2 * row++, false);
#include "../../abi/nccl_api.def"
}

/*
 * Calls `function` with everything that `in` holds; what came back goes to `out`, the callee-saved registers to `kept`.
 */
void call_with(void *function, const struct call *in, struct answer *out, uint64_t kept[4]);
#if defined(__x86_64__)
__asm__(".text\n.globl call_with\n.type call_with, %function\ncall_with:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  pushq %rdx\n  pushq %rcx\n" /* out, kept */
        "  movq %rdi, %r11\n  movq %rsi, %rbp\n"
        "  subq $8 * 41, %rsp\n"
        "  .set word, 0\n  .rept 40\n"
        "  movq 144 + 8 * word(%rbp), %rax\n  movq %rax, 8 * word(%rsp)\n  .set word, word + 1\n  "
        ".endr\n"
        "  movq 8(%rbp), %rdi\n  movq 16(%rbp), %rsi\n  movq 24(%rbp), %rdx\n  movq 32(%rbp), %rcx\n"
        "  movq 40(%rbp), %r8\n  movq 48(%rbp), %r9\n  movq 56(%rbp), %rax\n  movq 64(%rbp), %r10\n"
        "  movq 80(%rbp), %xmm0\n  movq 88(%rbp), %xmm1\n  movq 96(%rbp), %xmm2\n  movq 104(%rbp), "
        "%xmm3\n"
        "  movq 112(%rbp), %xmm4\n  movq 120(%rbp), %xmm5\n  movq 128(%rbp), %xmm6\n  movq 136(%rbp), "
        "%xmm7\n"
        "  movq $101, %rbx\n  movq $102, %r12\n  movq $103, %r13\n  movq $104, %r15\n  movq %rbp, "
        "%r14\n"
        "  call *%r11\n"
        "  addq $8 * 41, %rsp\n"
        "  popq %rcx\n  movq %rbx, 0(%rcx)\n  movq %r12, 8(%rcx)\n  movq %r13, 16(%rcx)\n  movq %r15, "
        "24(%rcx)\n"
        "  popq %rcx\n  movq %rax, 0(%rcx)\n  movq %rdx, 8(%rcx)\n  movq %xmm0, 16(%rcx)\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl call_with\n.type call_with, %function\ncall_with:\n"
        "  stp x29, x30, [sp, #-80]!\n  mov x29, sp\n"
        "  stp x19, x20, [sp, #16]\n  stp x21, x22, [sp, #32]\n  stp x23, x24, [sp, #48]\n  stp x2, "
        "x3, [sp, #64]\n"
        "  mov x16, x0\n  mov x9, x1\n"
        "  sub sp, sp, #8 * 40\n"
        "  .set word, 0\n  .rept 40\n"
        "  ldr x10, [x9, #144 + 8 * word]\n  str x10, [sp, #8 * word]\n  .set word, word + 1\n  .endr\n"
        "  ldp x0, x1, [x9, #8]\n  ldp x2, x3, [x9, #24]\n  ldp x4, x5, [x9, #40]\n  ldp x6, x7, [x9, "
        "#56]\n"
        "  ldr x8, [x9, #72]\n"
        "  ldp d0, d1, [x9, #80]\n  ldp d2, d3, [x9, #96]\n  ldp d4, d5, [x9, #112]\n  ldp d6, d7, "
        "[x9, #128]\n"
        "  mov x19, #101\n  mov x20, #102\n  mov x21, #103\n  mov x22, #104\n"
        "  blr x16\n"
        "  add sp, sp, #8 * 40\n"
        "  ldp x9, x10, [sp, #64]\n"
        "  stp x0, x1, [x9]\n  str d0, [x9, #16]\n"
        "  stp x19, x20, [x10]\n  stp x21, x22, [x10, #16]\n"
        "  ldp x19, x20, [sp, #16]\n  ldp x21, x22, [sp, #32]\n  ldp x23, x24, [sp, #48]\n"
        "  ldp x29, x30, [sp], #80\n  ret\n");
#endif

static struct call pattern(unsigned seed) {
    struct call call = {.number = 0};
    for (int i = 0; i < 9; i++)
        call.integers[i] = 0xa5a5000000000000u + seed * 256u + (unsigned)i;
    for (int i = 0; i < 8; i++)
        call.floats[i] = seed + i / 16.0;
    for (int i = 0; i < STACK_WORDS; i++)
        call.stack[i] = 0x5c5c000000000000u + seed * 256u + (unsigned)i;
    return call;
}

/* The registers that carry arguments on this machine; ncclGetLastError has one argument. */
static bool same_arguments(const struct call *a, const struct call *b, bool why) {
#if defined(__x86_64__)
    size_t integers = 8;
#else
    size_t integers = 9;
#endif
    if (why)
        return a->integers[0] == b->integers[0];
    return memcmp(a->integers, b->integers, integers * sizeof *a->integers) == 0 &&
           memcmp(a->floats, b->floats, sizeof a->floats) == 0 && memcmp(a->stack, b->stack, sizeof a->stack) == 0;
}

static const char *call_one(const struct name *n, const char *recorder_path, unsigned seed) {
    static struct recorder *recorder;
    struct call in = pattern(seed);
    struct answer out;
    uint64_t kept[4];
    void *function = dlsym(RTLD_DEFAULT, n->name);
    if (!function)
        return "is not there";
    errno = 4711;
    call_with(function, &in, &out, kept);
    if (errno != 4711)
        return "changed errno";
    if (!recorder) {
        struct recorder *(*get)(void);
        void *handle = dlopen(recorder_path, RTLD_NOW | RTLD_NOLOAD);
        if (!handle || !(*(void **)&get = dlsym(handle, "recorder_get")))
            return "did not load the recorder";
        recorder = get();
    }
    if (recorder->seen.number != n->number)
        return "reached another function";
    if (!same_arguments(&recorder->seen, &in, n->why))
        return "changed arguments";
    if ((const char *)out.low != recorder->text(n->number) ||
        (!n->why && (out.high != ANSWER_HIGH(n->number) || out.real != n->number)))
        return "changed the answer";
    if (kept[0] != 101 || kept[1] != 102 || kept[2] != 103 || kept[3] != 104)
        return "lost a callee-saved register";
    return NULL;
}

static unsigned good;

static void judge(const char *problem, const char *when, const struct name *n) {
    if (problem)
        printf("%s: the %s call %s\n", n->name, when, problem);
    else
        good++;
}

static void first_in_a_process(const struct name *n, const char *recorder_path) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        const char *problem = call_one(n, recorder_path, 1);
        judge(problem, "first", n);
        fflush(stdout);
        _exit(problem != NULL);
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        printf("%s: the first call ended with status %x\n", n->name, status);
    else
        good++;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    list_names(argc < 3);
    for (unsigned i = 0; i < count; i++)
        first_in_a_process(&names[i], argv[1]);
    for (unsigned round = 2; round < 4; round++)
        for (unsigned i = 0; i < count; i++)
            judge(call_one(&names[i], argv[1], round * 1000 + i), round == 2 ? "second" : "third", &names[i]);
    printf("names=%u good=%u\n", count, good);
    return good == 3 * count ? 0 : 1;
}
