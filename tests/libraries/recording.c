/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend that records each call as the processor brings it (registers and stack, no signatures) and answers with a
 * pattern, expanded from the table. RECORDING_NO_TWINS: without pncclX, as NCCL before 2.16.
 */
#include "recording.h"

#include <stddef.h>
#include <stdio.h>

enum {
    ROWS = 0
#define XX(name, since, result, route, makes) +1
#include "../../abi/nccl_api.def"
};

static char texts[2 * ROWS][16];
__attribute__((visibility("hidden"))) extern struct recorder recorder;

static const char *text_of(uint64_t number) {
    return texts[number];
}

struct recorder recorder = {.text = text_of};

__attribute__((constructor)) static void make_texts(void) {
    for (int i = 0; i < 2 * ROWS; i++)
        snprintf(texts[i], sizeof texts[i], "answer %d", i);
}

/* The test asks for it by the handle of this very file. */
struct recorder *recorder_get(void);
struct recorder *recorder_get(void) {
    return &recorder;
}

/* Called by `record` with the registers already stored; what it returns goes into the result registers. */
__attribute__((visibility("hidden"))) const char *recorder_answer(void);
const char *recorder_answer(void) {
    recorder.calls++;
    /* The shim asks for the version; the test calls with what is no address. */
    if (recorder.seen.number == 0 && recorder.seen.integers[0] >> 48 == 0) {
        *(int *)recorder.seen.integers[0] = 29900; /* newer than all: nothing needs adapting */
        return NULL;
    }
    return texts[recorder.seen.number];
}

#if defined(__x86_64__)
__asm__(".text\n"
        "record:\n"
        "  movq %r11, recorder(%rip)\n"
        "  movq %rdi, recorder+8(%rip)\n"
        "  movq %rsi, recorder+16(%rip)\n"
        "  movq %rdx, recorder+24(%rip)\n"
        "  movq %rcx, recorder+32(%rip)\n"
        "  movq %r8, recorder+40(%rip)\n"
        "  movq %r9, recorder+48(%rip)\n"
        "  movq %rax, recorder+56(%rip)\n"
        "  movq %r10, recorder+64(%rip)\n"
        "  movq %xmm0, recorder+80(%rip)\n"
        "  movq %xmm1, recorder+88(%rip)\n"
        "  movq %xmm2, recorder+96(%rip)\n"
        "  movq %xmm3, recorder+104(%rip)\n"
        "  movq %xmm4, recorder+112(%rip)\n"
        "  movq %xmm5, recorder+120(%rip)\n"
        "  movq %xmm6, recorder+128(%rip)\n"
        "  movq %xmm7, recorder+136(%rip)\n"
        "  .set word, 0\n"
        "  .rept 40\n"
        "  movq 8 + 8 * word(%rsp), %r11\n"
        "  movq %r11, recorder + 144 + 8 * word(%rip)\n"
        "  .set word, word + 1\n"
        "  .endr\n"
        "  subq $8, %rsp\n"
        "  call recorder_answer\n"
        "  addq $8, %rsp\n"
        "  movabsq $0x1234567800000000, %rdx\n"
        "  addq recorder(%rip), %rdx\n"
        "  cvtsi2sdq recorder(%rip), %xmm0\n"
        "  ret\n"
        ".macro function name, number\n"
        "  .globl \\name\n"
        "  .type \\name, %function\n"
        "\\name:\n"
        "  movl $\\number, %r11d\n"
        "  jmp record\n"
        ".endm\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        "record:\n"
        "  adrp x9, recorder\n"
        "  add x9, x9, :lo12:recorder\n"
        "  str x16, [x9]\n"
        "  stp x0, x1, [x9, #8]\n"
        "  stp x2, x3, [x9, #24]\n"
        "  stp x4, x5, [x9, #40]\n"
        "  stp x6, x7, [x9, #56]\n"
        "  str x8, [x9, #72]\n"
        "  stp d0, d1, [x9, #80]\n"
        "  stp d2, d3, [x9, #96]\n"
        "  stp d4, d5, [x9, #112]\n"
        "  stp d6, d7, [x9, #128]\n"
        "  .set word, 0\n"
        "  .rept 40\n"
        "  ldr x10, [sp, #8 * word]\n"
        "  str x10, [x9, #144 + 8 * word]\n"
        "  .set word, word + 1\n"
        "  .endr\n"
        "  stp x29, x30, [sp, #-16]!\n"
        "  bl recorder_answer\n"
        "  ldp x29, x30, [sp], #16\n"
        "  adrp x9, recorder\n"
        "  ldr x10, [x9, :lo12:recorder]\n"
        "  movz x1, #0x1234, lsl #48\n"
        "  movk x1, #0x5678, lsl #32\n"
        "  add x1, x1, x10\n"
        "  ucvtf d0, x10\n"
        "  ret\n"
        ".macro function name, number\n"
        "  .globl \\name\n"
        "  .type \\name, %function\n"
        "\\name:\n"
        "  mov w16, #\\number\n"
        "  b record\n"
        ".endm\n");
#endif

_Static_assert(offsetof(struct call, integers) == 8 && offsetof(struct call, floats) == 80 &&
                   offsetof(struct call, stack) == 144 && STACK_WORDS == 40,
               "the assembly above has these numbers in it");

__asm__(".set row, 0");
#ifdef RECORDING_NO_TWINS
#define XX(name, since, result, route, makes) __asm__("function " #name ", 2*row\n.set row, row + 1");
#else
#define XX(name, since, result, route, makes)                                                                          \
    __asm__("function " #name ", 2*row\nfunction p" #name ", 2*row+1\n.set row, row + 1");
#endif
#define XX_SOLO(name, since, result, route, makes) __asm__("function " #name ", 2*row\n.set row, row + 1");
#include "../../abi/nccl_api.def"
