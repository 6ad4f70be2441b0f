/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where lines go, so that a failure has no other effect, and which are left out (log_limit.c); for log.c and history.c
 * only.
 */
#ifndef NCR_LOG_OUTPUT_H
#define NCR_LOG_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

bool ncr_log_admits(const char *kind, const char *text, unsigned long *count);
const char *ncr_log_write_file(const char *path, const char *lines, size_t length);
int ncr_log_open_at(const char *folder, const char *base);
int ncr_log_write(int file, const char *lines, size_t length);
void ncr_log_write_stderr(const char *lines, size_t length);

#endif
