/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the recording backend saw of a call, and what a caller can put into one: the same registers and stack on both
 * sides.
 */
#ifndef RECORDING_H
#define RECORDING_H

#include <stdint.h>

#define STACK_WORDS 40 /* more than 10 arguments and the 128 bytes of an ncclUniqueId */

struct call {
    uint64_t number;      /* 2 * row of the table, + 1 for the alias */
    uint64_t integers[9]; /* x86-64: rdi rsi rdx rcx r8 r9 rax r10, unused; aarch64: x0 … x8 */
    double floats[8];     /* the low halves of xmm0 … xmm7 or v0 … v7 */
    uint64_t stack[STACK_WORDS];
};

/* What the backend returns in all result registers: the recorder's answer to call `number`. */
struct answer {
    uint64_t low, high; /* rax rdx, x0 x1 */
    double real;        /* xmm0, v0 */
};

/* low is the address of a text of the recorder, "answer NUMBER", since some functions return a string. */
#define ANSWER_HIGH(number) (0x1234567800000000u + (number))

struct recorder {
    struct call seen;
    uint64_t calls;
    const char *(*text)(uint64_t number);
};

#endif
