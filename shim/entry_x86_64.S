/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program calls: one trampoline per function, a jump through its slot. The trampolines know no signatures: all
 * registers and the stack arrive at the backend as the program left them, structs by value included. Two slots per row
 * of the table: the function, its profiling alias.
 */
#if defined(__x86_64__)
    .text

#include "ask_x86_64.inc"

/* ---- trampolines; one description of the stack for all of them: it is that of the call ---- */
    .globl ncr_trampolines_start
    .hidden ncr_trampolines_start
ncr_trampolines_start:
    .cfi_startproc
    .set slot, 0
    .macro trampoline name
    .globl \name
    .type \name, @function
\name:
    jmp *(ncr_slots + 8 * slot)(%rip)
    .size \name, . - \name
    .set slot, slot + 1
    .endm
#define XX(name, since, result, route, makes) trampoline name; trampoline p##name;
#define XX_SOLO(name, since, result, route, makes) trampoline name; .set slot, slot + 1;
#include "abi/nccl_api.def"

/* ---- where a slot points until the backend has an address for it ---- */
    .set slot, 0
    .macro unbound_stub name
.Lunbound_\name:
    stub unbound
    .endm
#define XX(name, since, result, route, makes) unbound_stub name; unbound_stub p##name;
#define XX_SOLO(name, since, result, route, makes) unbound_stub name; .set slot, slot + 1;
#include "abi/nccl_api.def"
    .globl ncr_unbound_end
    .hidden ncr_unbound_end
ncr_unbound_end:

    .type unbound, @function
unbound:
    .cfi_adjust_cfa_offset 8
    ask ncr_first_use, 1
    .cfi_endproc
    .size unbound, . - unbound

/*
 * dlopen: ncr_on_dlopen() answers, or says where to jump with the program's own return address on the stack, by
 * which the real dlopen knows whose RUNPATH counts.
 */
    .globl dlopen
    .type dlopen, @function
dlopen:
    .cfi_startproc
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    pushq %rsi
    .cfi_adjust_cfa_offset 8
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    movq 24(%rsp), %rdx
    call ncr_on_dlopen
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %rsi
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    testq %rdx, %rdx
    jz 1f
    jmp *%rdx
1:
    ret
    .cfi_endproc
    .size dlopen, . - dlopen

/* ---- slots ---- */
    .data
    .p2align 3
    .globl ncr_slots
    .hidden ncr_slots
    .type ncr_slots, @object
ncr_slots:
    .macro slot_of name route
    .ifc \route, WHY
    .quad ncr_last_error
    .else
    .quad .Lunbound_\name
    .endif
    .endm
#define XX(name, since, result, route, makes) slot_of name route; slot_of p##name route;
#define XX_SOLO(name, since, result, route, makes) slot_of name route; .quad 0;
#include "abi/nccl_api.def"
    .size ncr_slots, . - ncr_slots
#endif

    .section .note.GNU-stack, "", %progbits
