/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of several NCCLs in one process, as transcripts: a script of steps (tests/programs/linked_script.c) over copies
 * of the NCCL that knows what it made (tests/libraries/owned.c), and everything that program and libraries printed, in
 * order.
 */
#ifndef NCR_TEST_OWNED_H
#define NCR_TEST_OWNED_H

#include "support.h"

/*
 * A copy in a folder of this name, which is what it calls itself and begins with its version. The same one each time.
 */
const char *owned(const char *name);

/*
 * Run the steps, separated by spaces. In the environment: NCCL_REDIRECT=A, and A, B, C, D, paths of the libraries
 * 22809, 23203, 21803 and 22809d. `more` is added; it may set NCCL_REDIRECT otherwise.
 */
struct result owned_run(const char *const *more, const char *steps);

/*
 * Assert that such a run succeeds and prints these lines; here they are separated by "; ", and "$A" stands for A's
 * path.
 */
#define assert_transcript(more, steps, lines) assert_transcript_at(more, steps, lines, __FILE__, __LINE__)
void assert_transcript_at(const char *const *more, const char *steps, const char *lines, const char *file, int line);

#endif
