/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libcuda.so.1 of a driver for CUDA 13.0, of which the tool asks the version only. */
int cuDriverGetVersion(int *version);

int cuDriverGetVersion(int *version) {
    *version = 13000;
    return 0;
}
