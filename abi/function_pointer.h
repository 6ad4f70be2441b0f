/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Function pointers as addresses and back. ISO C has no cast between the two kinds of pointers; POSIX requires them to be
 * alike, for dlsym.
 */
#ifndef NCR_ABI_FUNCTION_POINTER_H
#define NCR_ABI_FUNCTION_POINTER_H

/* The function of `type` (a function type, not a pointer) at an address; NULL for NULL. */
#define NCR_FUNCTION(type, address)                                                                                    \
    (((union {                                                                                                         \
         void *from;                                                                                                   \
         type *to;                                                                                                     \
     }){address})                                                                                                      \
         .to)

/* The address of a function of any type. */
#define NCR_ADDRESS(function)                                                                                          \
    (((union {                                                                                                         \
         void (*from)(void);                                                                                           \
         void *to;                                                                                                     \
     }){(void (*)(void))(function)})                                                                                   \
         .to)

#endif
