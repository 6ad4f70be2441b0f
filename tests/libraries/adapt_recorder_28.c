/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same as an NCCL that does not tell the buffers of its windows, as before 2.29.2, and has no ncclAlltoAll, as
 * before 2.28.3.
 */
#define OWN_ncclAlltoAll 1
#define OWN_pncclAlltoAll 1
#define LACKS_ALL_TO_ALL
#define OWN_ncclWinGetUserPtr 1
#define OWN_pncclWinGetUserPtr 1
#include "adapt_recorder.c"
