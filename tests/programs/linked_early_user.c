/* SPDX-License-Identifier: Apache-2.0 */
/* Linked with a library that calls NCCL in its constructor (the Makefile links both). */
#include <stdio.h>

int main(void) {
    printf("main\n");
    return 0;
}
