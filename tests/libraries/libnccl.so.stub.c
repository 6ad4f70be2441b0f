/* SPDX-License-Identifier: Apache-2.0 */
/* An NCCL without SONAME: a program that is linked with it by its path needs that very path. */
#define OWN_ncclGetErrorString 1
#define OWN_ncclGetLastError 1
#include "stub_nccl.h"

const char *ncclGetErrorString(int code);
const char *ncclGetLastError(void *comm);

const char *ncclGetErrorString(int code) {
    (void)code;
    return "by its path";
}

const char *ncclGetLastError(void *comm) {
    (void)comm;
    return "";
}
