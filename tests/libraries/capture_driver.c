/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libcuda.so.1 where no driver is: a stream whose handle is an odd number is being captured, at once and at
 * no cost.
 */
#include <stdint.h>

int cuStreamIsCapturing(uintptr_t stream, int *status);

int cuStreamIsCapturing(uintptr_t stream, int *status) {
    *status = (int)(stream & 1);
    return 0;
}
