/*
 * What the program calls: one trampoline per function, a jump through its slot. The trampolines know no signatures: all
 * registers and the stack arrive at the backend as the program left them, structs by value included. Two slots per row
 * of the table: the function, its profiling alias.
 */
#if defined(__x86_64__)
    .text

/*
 * Ask a function in C where the call goes, and go there with the registers of the call; where it names no address,
 * ncr_answer() returns to the program in the function's place. On the stack is the slot's number, above it the
 * program's return address. The C function gets the number, the argument registers as the program left them and the
 * arguments behind the return address. `all` keeps also what no NCCL function has: arguments in vector registers, a
 * count of them (rax), a static chain (r10). rbp makes an unaligned stack of the program no matter.
 */
    .macro ask function all
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    andq $-16, %rsp
    subq $(48 + 144 * \all), %rsp
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    .if \all
    movq %rax, 48(%rsp)
    movq %r10, 56(%rsp)
    movaps %xmm0, 64(%rsp)
    movaps %xmm1, 80(%rsp)
    movaps %xmm2, 96(%rsp)
    movaps %xmm3, 112(%rsp)
    movaps %xmm4, 128(%rsp)
    movaps %xmm5, 144(%rsp)
    movaps %xmm6, 160(%rsp)
    movaps %xmm7, 176(%rsp)
    .endif
    movl 8(%rbp), %edi
    movq %rsp, %rsi
    leaq 24(%rbp), %rdx
    call \function
    movq %rax, %r11
    .if \all
    movaps 176(%rsp), %xmm7
    movaps 160(%rsp), %xmm6
    movaps 144(%rsp), %xmm5
    movaps 128(%rsp), %xmm4
    movaps 112(%rsp), %xmm3
    movaps 96(%rsp), %xmm2
    movaps 80(%rsp), %xmm1
    movaps 64(%rsp), %xmm0
    movq 56(%rsp), %r10
    movq 48(%rsp), %rax
    .endif
    movq 40(%rsp), %r9
    movq 32(%rsp), %r8
    movq 24(%rsp), %rcx
    movq 16(%rsp), %rdx
    movq 8(%rsp), %rsi
    movq 0(%rsp), %rdi
    leave
    .cfi_def_cfa %rsp, 16
    .cfi_restore %rbp
    testq %r11, %r11
    jz 1f
    leaq 8(%rsp), %rsp
    .cfi_adjust_cfa_offset -8
    jmp *%r11
    .cfi_adjust_cfa_offset 8
1:
    popq %rdi
    .cfi_adjust_cfa_offset -8
    jmp ncr_answer
    .endm

/* Push the number of the slot, and go on. */
    .macro stub to
    pushq $slot
    .cfi_adjust_cfa_offset 8
    jmp \to
    .cfi_adjust_cfa_offset -8
    .set slot, slot + 1
    .endm

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
    .size unbound, . - unbound

/* ---- where a slot points once calls are routed: 16 bytes each, so that shim/route/route.c can count ---- */
    .set slot, 0
    .p2align 4
    .globl ncr_routed_start
    .hidden ncr_routed_start
ncr_routed_start:
    .macro routed_stub
    .p2align 4
    stub routed
    .endm
#define XX(name, since, result, route, makes) routed_stub; routed_stub;
#include "abi/nccl_api.def"

    .type routed, @function
routed:
    .cfi_adjust_cfa_offset 8
    ask ncr_route, 0
    .cfi_endproc
    .size routed, . - routed

/*
 * dlopen: ncr_on_dlopen() answers, or names where to jump with the program's own return address on the stack: the real
 * dlopen tells by it whose RUNPATH counts.
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
