/* SPDX-License-Identifier: Apache-2.0 */
/* As linked_create, but linked with an NCCL that has no SONAME (Makefile). */
#include "linked_create.c"
