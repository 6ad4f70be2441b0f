/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stub per function in imports.def, under the function's own name, which nobody outside sees: a jump to the address in
 * the table, or to ncr_import(), which finds it. Registers and stack arrive at the function as its caller left them.
 */
#if defined(__aarch64__)
    .text

#include "ask_aarch64.inc"

    .cfi_startproc
    .set slot, 0
    .macro import name
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 2
\name:
    ldr x16, ncr_imports + 8 * slot
    cbz x16, 1f
    br x16
1:
    stub not_found_yet
    .size \name, . - \name
    .endm
#define X(name) import name;
#include "imports.def"

    .type not_found_yet, %function
not_found_yet:
    ask ncr_import, 1
    .cfi_endproc
    .size not_found_yet, . - not_found_yet

/* Zeros until imports.c writes them; read-only like the global offset table before and after. */
    .section .data.rel.ro, "aw", %progbits
    .p2align 3
    .globl ncr_imports
    .hidden ncr_imports
    .type ncr_imports, %object
ncr_imports:
    .skip 8 * slot
    .size ncr_imports, . - ncr_imports
#endif

    .section .note.GNU-stack, "", %progbits
