/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exported names. Each row of the ABI table becomes a weak ncclX and a strong alias pncclX at the same address, as
 * in NCCL, which jump to hostmem_ncclX: arguments and the stack stay as the caller left them. An alias would do without
 * the jump, but an alias needs its target in the same file.
 */
#include "hostmem.h"

#if defined(__x86_64__)
#define JUMP jmp
#elif defined(__aarch64__)
#define JUMP b
#else
#error "exports.S needs the jump instruction of this machine"
#endif

/* Without aliases the names themselves are strong, as in NCCLs that were built without PROFAPI. */
#ifdef HOSTMEM_NO_PNCCL
#define BINDING .globl
#else
#define BINDING .weak
#endif

#ifdef HOSTMEM_LACKS
    .irp name, HOSTMEM_LACKS
    .set .Llacks_\name, 1
    .endr
#endif

    .text

    .macro export name, since, binding
    .if \since <= HOSTMEM_VERSION
    .ifndef .Llacks_\name
    \binding \name
    .type \name, %function
    .hidden hostmem_\name
\name:
    JUMP hostmem_\name
    .size \name, . - \name
    .endif
    .endif
    .endm

    .macro alias name
    .ifdef \name
    .globl p\name
    .type p\name, %function
    .set p\name, \name
    .endif
    .endm

#define XX(name, since, result, route, makes) export name, since, BINDING
#define XX_SOLO(name, since, result, route, makes) export name, since, .globl
#ifndef HOSTMEM_RCCL
#define RCCL_XX(name, since, result, route, makes)
#endif
#include "../../abi/nccl_api.def"

#ifndef HOSTMEM_NO_PNCCL
#define XX(name, since, result, route, makes) alias name
#define XX_SOLO(name, since, result, route, makes)
#include "../../abi/nccl_api.def"
#endif

    /* The version is a number to the preprocessor; only the assembler can turn its parts into text. */
    .section .rodata
    .globl hostmem_version_text
    .hidden hostmem_version_text
    .type hostmem_version_text, %object
    .altmacro
    .macro version_text major, minor, patch
    .asciz "NCCL version \major\().\minor\().\patch\()+hostmem"
    .endm
    .set .Lmajor, HOSTMEM_VERSION / 10000
    .set .Lminor, HOSTMEM_VERSION / 100 - .Lmajor * 100
    .set .Lpatch, HOSTMEM_VERSION - .Lmajor * 10000 - .Lminor * 100
hostmem_version_text:
    version_text %.Lmajor, %.Lminor, %.Lpatch
    .size hostmem_version_text, . - hostmem_version_text

    .section .note.GNU-stack, "", %progbits
