/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that a decision is about: this one, as the shim asks, or one that the tool describes before it starts it.
 * All that the search needs to know about a process passes through here, so that both get the same answer.
 */
#include "every_process.h"
#include "loader.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* The current folder at the start, if the program was started as a Python by a relative path. Written once, by the
 * constructor. */
NCR_EVERY_PROCESS_DATA static char *start_folder;

NCR_EVERY_PROCESS static bool is_relative_python(const char *name) {
    return name && *name != '/' && ncr_basename(name) != name && ncr_begins(ncr_basename(name), "python");
}

/**
 * For the constructor: note what a running Python's path is relative to. Later the current folder may be any other one,
 * where somebody may have put a bin/python3 and a pyvenv.cfg.
 */
NCR_EVERY_PROCESS void ncr_subject_note_start(void) {
    const char *names[2];
    ncr_subject_names(NULL, names);
    if (is_relative_python(names[0]) || is_relative_python(names[1]))
        start_folder = getcwd(NULL, 0);
}

/** The folder that the names of a start are relative to, or NULL if it is not known. */
const char *ncr_subject_start_folder(void) {
    return start_folder;
}

/* It does not change while the process lives. */
static char *own_program(void) {
    static _Atomic(char *) known;
    char *path = atomic_load(&known), *nobody = NULL;
    if (path)
        return ncr_copy(path);
    path = ncr_file_link("/proc/self/exe");
    char *kept = path ? ncr_copy(path) : NULL;
    if (kept && !atomic_compare_exchange_strong(&known, &nobody, kept))
        free(kept);
    return path;
}

/** The file that the subject runs, links resolved, as a fresh string. */
char *ncr_subject_path(const struct ncr_subject *subject) {
    if (!subject)
        return own_program();
    return subject->executable ? ncr_copy(subject->executable) : NULL;
}

/**
 * The names by which the subject may have been started, best first. The kernel tells the path of the call to exec,
 * which a shebang line makes that of the script; then argv[0] is the interpreter.
 */
NCR_EVERY_PROCESS void ncr_subject_names(const struct ncr_subject *subject, const char *names[2]) {
    names[0] = subject ? subject->started_as : (const char *)getauxval(AT_EXECFN);
    names[1] = subject ? NULL : program_invocation_name;
}
