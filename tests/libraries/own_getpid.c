/* SPDX-License-Identifier: Apache-2.0 */
/* A preloaded library with a getpid of its own; its symbols are hashed in the old way (DT_HASH; tests/Makefile). */
#include <unistd.h>

pid_t getpid(void) {
    return 4711;
}
