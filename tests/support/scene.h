/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small worlds for the command-line tool: an installed nccl-redirect, a Python with or without torch, real NCCLs, and
 * nothing of the machine that the tests run on (tests/libraries/other_machine.c). Everything lies in one folder, whose
 * name has always the same length, so that wrapped lines are the same too.
 */
#ifndef NCR_TEST_SCENE_H
#define NCR_TEST_SCENE_H

#include "support.h"

/* What the folder is called in transcripts. */
#define SCENE_NAME "/home/you/job-1"

struct scene {
    const char *root;
    const char *environment[16]; /* ends with NULL */
    unsigned variables;
};

/*
 *   healthy       venv with torch 2.5.1 and the wheel of NCCL 2.21.5; a system NCCL 2.32.3 in NCCL_HOME
 *   no-torch      a Python without torch, and no NCCL
 *   two-wheels    venv in which the wheels for CUDA 12 and 13 own one file
 *   older-system  healthy, and NCCL 2.14.3 first in LD_LIBRARY_PATH
 *   static        a program with NCCL linked into it, and a torch with NCCL linked into its libtorch_cuda.so
 *   broken        the wheel's file is truncated; a system NCCL 2.32.3 in NCCL_HOME
 */
struct scene scene_make(const char *name);
void scene_set(struct scene *scene, const char *setting); /* "NAME=value" */

/* Run a shell command line in the scene; the output has SCENE_NAME for the folder. */
struct result scene_run(const struct scene *scene, const char *line);

/* The same, asserting the exit code; returns stdout and stderr together. */
const char *scene_says(const struct scene *scene, int status, const char *line);

/* The same words in one line, for texts that were wrapped. */
const char *unwrapped(const char *all);

#endif
