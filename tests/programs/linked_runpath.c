/* SPDX-License-Identifier: Apache-2.0 */
/* linked_version with a RUNPATH that leads to the folder "own" beside it (Makefile). */
#include "linked_version.c"
