/* SPDX-License-Identifier: Apache-2.0 */
/* One line on stdout by one write, for constructors: stdio of the program is not theirs to disturb. */
#ifndef SAY_H
#define SAY_H

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...) {
    char line[512];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (length > 0 && write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(3);
}

#endif
