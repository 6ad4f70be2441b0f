/* Where lines of the log go; for log.c alone. */
#ifndef NCR_LOG_OUTPUT_H
#define NCR_LOG_OUTPUT_H

#include <stddef.h>

const char *ncr_log_write_file(const char *path, const char *lines, size_t length);
void ncr_log_write_stderr(const char *lines, size_t length);

#endif
