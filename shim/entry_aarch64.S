/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program calls: one trampoline per function, a jump through its slot. The trampolines know no signatures: all
 * registers and the stack arrive at the backend as the program left them, structs by value included. Two slots per row
 * of the table: the function, its profiling alias. x16 and x17 are free for linkage code (AAPCS64).
 */
#if defined(__aarch64__)
    .text

#include "ask_aarch64.inc"

/*
 * ---- trampolines; one description of the stack for all of them: it is that of the call. A literal load reaches 1 MiB,
 * the shim is far smaller ----
 */
    .globl ncr_trampolines_start
    .hidden ncr_trampolines_start
ncr_trampolines_start:
    .cfi_startproc
    .set slot, 0
    .macro trampoline name
    .globl \name
    .type \name, %function
    .p2align 2
\name:
    ldr x16, ncr_slots + 8 * slot
    br x16
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

    .type unbound, %function
unbound:
    ask ncr_first_use, 1
    .cfi_endproc
    .size unbound, . - unbound

/*
 * dlopen: ncr_on_dlopen() answers, or says where to jump with the program's own return address in x30, by
 * which the real dlopen knows whose RUNPATH counts.
 */
    .globl dlopen
    .type dlopen, %function
dlopen:
    .cfi_startproc
    stp x29, x30, [sp, #-32]!
    .cfi_def_cfa_offset 32
    .cfi_offset x29, -32
    .cfi_offset x30, -24
    mov x29, sp
    stp x0, x1, [sp, #16]
    mov x2, x30
    bl ncr_on_dlopen
    mov x16, x1
    mov x17, x0
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #32
    .cfi_restore x29
    .cfi_restore x30
    .cfi_def_cfa_offset 0
    cbz x16, 1f
    br x16
1:
    mov x0, x17
    ret
    .cfi_endproc
    .size dlopen, . - dlopen

/* ---- slots ---- */
    .data
    .p2align 3
    .globl ncr_slots
    .hidden ncr_slots
    .type ncr_slots, %object
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
