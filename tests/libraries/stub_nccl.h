/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NCCL that moves nothing: every function of the table, with its alias, returns 0. A library that includes this file
 * and defines some functions itself says so before, for each: #define OWN_ncclGetVersion 1. Not for functions that
 * return text or structs, unless the library defines them.
 */
#ifndef STUB_NCCL_H
#define STUB_NCCL_H

__attribute__((visibility("hidden"))) int stub_answer(void);
int stub_answer(void) {
    return 0;
}

/* IS_OWN(OWN_name) is 1 where OWN_name is defined as 1, else 0. */
#define IS_OWN(own) IS_OWN_1(own)
#define IS_OWN_1(own) IS_OWN_2(STUB_COMMA_##own)
#define STUB_COMMA_1 0,
#define IS_OWN_2(maybe) IS_OWN_3(maybe 1, 0)
#define IS_OWN_3(ignored, answer, ...) answer

#define STUB_1(name)
#define STUB_0(name) __asm__(".globl " name "\n.type " name ", %function\n.set " name ", stub_answer");
#define STUB_IF(own, name) STUB_IF_1(own, name)
#define STUB_IF_1(own, name) STUB_##own(name)

#define XX(name, since, result, route, makes) STUB_IF(IS_OWN(OWN_##name), #name) STUB_IF(IS_OWN(OWN_p##name), "p" #name)
#define XX_SOLO(name, since, result, route, makes) STUB_IF(IS_OWN(OWN_##name), #name)
#define RCCL_XX(name, since, result, route, makes)
#include "../../abi/nccl_api.def"

#endif
