/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for an NCCL plugin, or for any library that is no NCCL. */
int plugin_answer(void);
int plugin_answer(void) {
    return 4711;
}
