/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linked_version with an absolute RUNPATH to the folder "as_nccl" of the build (Makefile): the only way for the shim
 * into a set-uid program that needs no change of the system's folders, since the loader ignores LD_PRELOAD and $ORIGIN
 * there.
 */
#include "linked_version.c"
