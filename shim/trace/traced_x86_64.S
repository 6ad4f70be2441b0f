/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in a slot while calls are recorded: one stub per row of trace/calls.def for the function and one for its
 * profiling alias, 8 bytes each, so that layer.c can count. A stub leaves its number; `traced` saves the argument
 * registers in the first of 16 words and calls ncr_record_call(number, words, stack), which makes the program's call and returns its answer.
 */
#if defined(__x86_64__)
    .text
    .set stub, 0
    .p2align 4
    .globl ncr_traced_start
    .hidden ncr_traced_start
ncr_traced_start:
    .macro traced_stub
    .p2align 3
    pushq $stub
    jmp traced
    .set stub, stub + 1
    .endm
#define CALL(name, class, like, count, type, op, peer, comm, stream) traced_stub; traced_stub;
#include "trace/calls.def"
    .if stub > 128 /* a larger number makes a longer push; STUB_BYTES in layer.c would be 16 */
    .error "too many stubs for 8 bytes each"
    .endif

    .type traced, @function
traced:
    .cfi_startproc
    .cfi_adjust_cfa_offset 8 /* the stub's number */
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    subq $136, %rsp /* 16 words, and 8 bytes that align the stack */
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movl 8(%rbp), %edi
    movq %rsp, %rsi
    leaq 24(%rbp), %rdx
    call ncr_record_call
    leave
    .cfi_def_cfa %rsp, 16
    .cfi_restore %rbp
    leaq 8(%rsp), %rsp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size traced, . - traced
#endif

    .section .note.GNU-stack, "", %progbits
