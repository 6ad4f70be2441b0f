/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stub per function in imports.def, under the function's own name, which nobody outside sees: a jump to the address in
 * the table, or to ncr_import(), which finds it. Registers and stack arrive at the function as its caller left them.
 */
#if defined(__x86_64__)
    .text

#include "ask_x86_64.inc"

    .cfi_startproc
    .set slot, 0
    .macro import name
    .globl \name
    .hidden \name
    .type \name, @function
\name:
    movq (ncr_imports + 8 * slot)(%rip), %r11
    testq %r11, %r11
    jz 1f
    jmp *%r11
1:
    stub not_found_yet
    .size \name, . - \name
    .endm
#define X(name) import name;
#include "imports.def"

    .type not_found_yet, @function
not_found_yet:
    .cfi_adjust_cfa_offset 8
    ask ncr_import, 1
    .cfi_endproc
    .size not_found_yet, . - not_found_yet

/* Zeros until imports.c writes them; read-only like the global offset table before and after. */
    .section .data.rel.ro, "aw", %progbits
    .p2align 3
    .globl ncr_imports
    .hidden ncr_imports
    .type ncr_imports, @object
ncr_imports:
    .skip 8 * slot
    .size ncr_imports, . - ncr_imports
#endif

    .section .note.GNU-stack, "", %progbits
