/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of /proc and /sys, into memory of the caller: for the recorder, which allocates nothing, and its reader. */
#include "loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** At most size - 1 bytes and a NUL; how many bytes these are. 0, and "", if there is nothing to read. */
size_t ncr_proc_read(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, text, size - 1);
    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

/** One line, without its end. */
bool ncr_proc_line(const char *path, char *text, size_t size) {
    bool read = ncr_proc_read(path, text, size) > 0;
    text[strcspn(text, "\n")] = '\0';
    return read;
}

/**
 * The state of a process (a letter, proc(5)), of this one for 0 (whatever ids this /proc knows), and its start in clock
 * ticks since boot, which with the process id identifies it for good. False if there is no such process. The program's name
 * before them may hold anything: its last ')' ends it.
 */
bool ncr_proc_stat(int pid, char *state, uint64_t *started) {
    char path[40], text[1024];
    if (pid)
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
    else
        strcpy(path, "/proc/self/stat");
    char *at = ncr_proc_read(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    if (!at || at[1] != ' ')
        return false;
    *state = at[2];
    for (int field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    *started = at ? strtoul(at, NULL, 10) : 0;
    return at != NULL;
}
