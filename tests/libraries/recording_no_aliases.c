/* SPDX-License-Identifier: Apache-2.0 */
/* The recording backend without pncclX. */
#define RECORDING_NO_TWINS
#include "recording.c"
