/* SPDX-License-Identifier: Apache-2.0 */
/* As traced_x86_64.S. x16 and x17 are free for linkage code (AAPCS64). */
#if defined(__aarch64__)
    .text
    .set stub, 0
    .p2align 4
    .globl ncr_traced_start
    .hidden ncr_traced_start
ncr_traced_start:
    .macro traced_stub
    .p2align 3
    mov w17, #stub
    b traced
    .set stub, stub + 1
    .endm
#define CALL(name, class, like, count, type, op, peer, comm, stream) traced_stub; traced_stub;
#include "trace/calls.def"

    .type traced, %function
traced:
    .cfi_startproc
    stp x29, x30, [sp, #-144]!
    .cfi_def_cfa_offset 144
    .cfi_offset x29, -144
    .cfi_offset x30, -136
    mov x29, sp
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    mov w0, w17
    add x1, sp, #16
    add x2, sp, #144
    bl ncr_record_call
    ldp x29, x30, [sp], #144
    .cfi_restore x29
    .cfi_restore x30
    .cfi_def_cfa_offset 0
    ret
    .cfi_endproc
    .size traced, . - traced
#endif

    .section .note.GNU-stack, "", %progbits
