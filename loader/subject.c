/*
 * The process that a decision is about: this one, as the shim asks, or one that the tool describes before it starts it.
 * All that discovery wants to know of a process passes through here, so that both get the same answer.
 */
#include "loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/** The file that the subject runs, links resolved, as a fresh string. */
char *ncr_subject_path(const struct ncr_subject *subject) {
    if (subject)
        return subject->executable ? strdup(subject->executable) : NULL;
    return ncr_file_link("/proc/self/exe");
}

/**
 * The names by which the subject may have been started, best first. The kernel tells the path of the call to exec,
 * which a shebang line makes that of the script; then argv[0] is the interpreter.
 */
void ncr_subject_names(const struct ncr_subject *subject, const char *names[2]) {
    names[0] = subject ? subject->started_as : (const char *)getauxval(AT_EXECFN);
    names[1] = subject ? NULL : program_invocation_name;
}

/** Visit what the subject maps, the program first, until the visitor returns true; returns what it returned last. */
bool ncr_subject_objects(const struct ncr_subject *subject, ncr_object_visitor *visit, void *arg) {
    bool stop = false;
    if (!subject)
        return ncr_objects(visit, arg);
    for (unsigned i = 0; i < subject->object_count && !stop; i++)
        stop = visit(arg, &subject->objects[i]);
    return stop;
}
