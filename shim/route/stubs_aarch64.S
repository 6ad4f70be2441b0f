/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a slot points once calls are routed: the number of the slot, and ncr_route() is asked. 16 bytes each, so that
 * route.c can count. No NCCL function has an argument in a vector register, so those are not kept.
 */
#if defined(__aarch64__)
#include "ask_aarch64.inc"

    .text
    .set slot, 0
    .p2align 4
    .globl ncr_routed_start
    .hidden ncr_routed_start
ncr_routed_start:
    .cfi_startproc
    .macro routed_stub
    .p2align 4
    stub routed
    .endm
#define XX(name, since, result, route, makes) routed_stub; routed_stub;
#include "abi/nccl_api.def"

    .type routed, %function
routed:
    ask ncr_route, 0
    .cfi_endproc
    .size routed, . - routed
#endif

    .section .note.GNU-stack, "", %progbits
