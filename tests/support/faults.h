/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures on purpose (tests/libraries/faults.c), for a program that is linked with that library: the n-th allocation,
 * dlopen or system call of what runs between the two calls fails, or all from the n-th on.
 */
#ifndef NCR_TEST_FAULTS_H
#define NCR_TEST_FAULTS_H

#include <stdbool.h>

/* FAULT_CALL: system calls that read, look or map, the dynamic loader's own among them. */
enum fault_kind { FAULT_MEMORY, FAULT_DLOPEN, FAULT_CALL };

/*
 * `at` counts from 0; `all`: it fails and every one behind it. `error` is what a system call returns; only those fail that
 * can fail by it. Once per process, since system calls are watched from then on.
 */
bool fault_begin(enum fault_kind kind, long at, bool all, int error); /* false: this machine does not allow it */
long fault_end(void);                                                 /* how many there were that could have failed */

#endif
