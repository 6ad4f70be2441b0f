/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that was built with the SONAME of an NCCL. */
#include "plugin.c"
