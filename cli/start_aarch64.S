/* SPDX-License-Identifier: Apache-2.0 */
/* Where the tool starts: start_x86_64.S says why. Version GLIBC_2.17 is the first for this CPU. */
    .symver __libc_start_main, __libc_start_main@GLIBC_2.17
    .text
    .globl ncr_tool_start
    .hidden ncr_tool_start
    .type ncr_tool_start, %function
ncr_tool_start:
    .cfi_startproc
    .cfi_undefined x30                  /* the outermost frame */
    mov x29, #0
    mov x30, #0
    mov x5, x0                          /* rtld_fini: what the dynamic loader wants to be called at the end */
    ldr x1, [sp]                        /* argc */
    add x2, sp, #8                      /* argv */
    mov x6, sp                          /* the end of the stack */
    adrp x0, main
    add x0, x0, :lo12:main
    mov x3, #0                          /* init */
    mov x4, #0                          /* fini */
    bl __libc_start_main
    bl abort
    .cfi_endproc
    .size ncr_tool_start, . - ncr_tool_start
    .section .note.GNU-stack, "", %progbits
