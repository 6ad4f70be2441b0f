/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the tool starts, in the place of the C library's own _start. That one calls the version of __libc_start_main that
 * the build machine has, since glibc 2.34 GLIBC_2.34, and the tool would not start on any older system; all the rest of it
 * is as old as 2.17. This one asks for the first version, which every glibc still has. It names no constructors and
 * destructors of the program: newer versions find them by themselves, and the tool has none that older ones would miss.
 */
    .symver __libc_start_main, __libc_start_main@GLIBC_2.2.5
    .text
    .globl ncr_tool_start
    .hidden ncr_tool_start
    .type ncr_tool_start, @function
ncr_tool_start:
    .cfi_startproc
    .cfi_undefined rip                  /* the outermost frame */
    xorl %ebp, %ebp
    movq %rdx, %r9                      /* rtld_fini: what the dynamic loader wants to be called at the end */
    popq %rsi                           /* argc */
    movq %rsp, %rdx                     /* argv */
    andq $-16, %rsp
    pushq %rax                          /* keeps the stack aligned */
    pushq %rsp                          /* the end of the stack */
    xorl %r8d, %r8d                     /* fini */
    xorl %ecx, %ecx                     /* init */
    leaq main(%rip), %rdi
    call *__libc_start_main@GOTPCREL(%rip)
    hlt
    .cfi_endproc
    .size ncr_tool_start, . - ncr_tool_start
    .section .note.GNU-stack, "", @progbits
