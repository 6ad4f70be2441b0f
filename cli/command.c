/*
 * What a command line will execute in the end: found on PATH as execvp finds it, through the interpreter lines of
 * scripts, and behind launchers, whose own process has nothing to do with NCCL.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_STEPS 8 /* launchers and interpreter lines behind each other */

/* Programs that start the command among their arguments on this host. */
static const char *const launchers[] = {"env",    "nohup",   "nice",    "ionice",  "timeout", "time",   "stdbuf",
                                        "setsid", "numactl", "taskset", "chrt",    "strace",  "ltrace", "mpirun",
                                        "srun",   "mpiexec", "orterun", "prterun", "nsys",    "ncu",    "catchsegv"};

static bool is_launcher(const char *name) {
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        if (strcmp(name, launchers[i]) == 0)
            return true;
    return false;
}

struct search {
    const char *name;
    char *found, *not_executable;
};

static bool try_folder(void *arg, const char *origin, const char *folder) {
    struct search *search = arg;
    struct stat status;
    (void)origin;
    char *path = (char *)formatted("%s/%s", folder, search->name);
    if (!ncr_file_status(path, &status) || S_ISDIR(status.st_mode))
        return false;
    if (access(path, X_OK) == 0)
        search->found = path;
    else if (!search->not_executable)
        search->not_executable = path;
    return search->found != NULL;
}

/** The file that execvp would start for a name; NULL with errno ENOENT or EACCES. */
char *find_on_path(const char *name) {
    struct search search = {name, NULL, NULL};
    struct stat status;
    if (strchr(name, '/')) {
        if (!ncr_file_status(name, &status))
            return NULL;
        errno = EACCES;
        return !S_ISDIR(status.st_mode) && access(name, X_OK) == 0 ? (char *)formatted("%s", name) : NULL;
    }
    const char *path = getenv("PATH");
    ncr_split_path(path ? path : "/bin:/usr/bin", "PATH", try_folder, &search);
    errno = search.not_executable ? EACCES : ENOENT;
    return search.found;
}

/* The interpreter of a script, and its argument, from the first line; NULL for anything else. */
static char *interpreter_line(const char *file, char **argument) {
    char line[256] = "";
    struct stat status;
    int descriptor = ncr_file_open(file, &status);
    ssize_t length = descriptor >= 0 ? read(descriptor, line, sizeof line - 1) : -1;
    if (descriptor >= 0)
        close(descriptor);
    if (length < 3 || line[0] != '#' || line[1] != '!')
        return NULL;
    line[strcspn(line, "\r\n")] = '\0';
    char *start = line + 2 + strspn(line + 2, " \t"), *rest = start + strcspn(start, " \t");
    if (start == rest)
        return NULL; /* a shell runs it itself, as a script without the line */
    if (*rest)
        *rest++ = '\0';
    *argument = (char *)formatted("%s", rest + strspn(rest, " \t"));
    return (char *)formatted("%s", start);
}

/* env takes assignments in front of the command; they decide for the command too. */
static bool assignment(const char *word) {
    const char *equals = strchr(word, '=');
    if (!equals || equals == word)
        return false;
    setenv(formatted("%.*s", (int)(equals - word), word), equals + 1, 1);
    return true;
}

/* The first argument that is a program: an option's value (-np 2) is not one. */
static char **behind_launcher(const char *launcher, char **argv) {
    bool env = strcmp(launcher, "env") == 0;
    for (char **at = argv + 1; *at; at++) {
        if (**at == '-' || (env && assignment(*at)))
            continue;
        if (find_on_path(*at))
            return at;
    }
    return NULL;
}

/* `#!/usr/bin/env -S python3 -u`: the name behind options and assignments. */
static char *behind_env(char *argument) {
    for (char *word = strtok(argument, " \t"); word; word = strtok(NULL, " \t"))
        if (*word != '-' && !assignment(word))
            return find_on_path(word);
    return NULL;
}

static void follow_scripts(struct command *command) {
    char *argument, *interpreter;
    for (int i = 0; i < MOST_STEPS && (interpreter = interpreter_line(command->started_as, &argument)); i++) {
        if (strcmp(ncr_basename(interpreter), "env") == 0)
            interpreter = behind_env(argument);
        if (!interpreter)
            return;
        command->script = command->script ? command->script : command->started_as;
        command->started_as = interpreter;
    }
}

static void describe_program(struct command *command) {
    struct elf_info info;
    struct stat status;
    unsigned count = 0;
    command->program = realpath(command->started_as, NULL);
    if (!command->program)
        return;
    elf_info_read(command->program, ELF_BASICS, &info);
    command->is_static = info.is_elf && !info.dynamic;
    command->narrow = info.is_elf && !info.wide;
    if (ncr_file_status(command->program, &status))
        command->set_uid = ((status.st_mode & S_ISUID) && status.st_uid != getuid()) ||
                           ((status.st_mode & S_ISGID) && status.st_gid != getgid());
    dependencies(command->program, &command->objects, &count);
    for (unsigned i = 0; i < count && !command->sanitizer; i++) {
        const char *name = ncr_basename(command->objects[i].path);
        if (strncmp(name, "libasan.so", 10) == 0 || strncmp(name, "libclang_rt.asan", 16) == 0)
            command->sanitizer = command->objects[i].path;
    }
    command->subject = (struct ncr_subject){command->program, command->started_as, command->objects, count};
}

/**
 * Resolve a command line; with an empty one the subject is any process of this environment. Assignments of an env in
 * front of the command are put into our own environment, from where the decision reads them.
 */
void command_resolve(struct command *command, char **argv) {
    *command = (struct command){.argv = argv};
    if (!argv || !*argv)
        return;
    command->file = find_on_path(*argv);
    if (!command->file) {
        command->status = errno == EACCES ? EXIT_CANNOT_RUN : EXIT_NOT_FOUND;
        command->problem = errno == EACCES
                               ? formatted("%s cannot be executed: no permission, or a folder; chmod +x, or name "
                                           "its interpreter, as in `python %s`",
                                           *argv, *argv)
                           : strchr(*argv, '/') ? formatted("%s does not exist", *argv)
                                                : formatted("%s is not found on PATH (%s)", *argv, getenv("PATH"));
        return;
    }
    command->started_as = command->file;
    command->inner = argv;
    char **at = argv;
    for (int i = 0; i < MOST_STEPS && is_launcher(ncr_basename(*at)); i++) {
        char **inner = behind_launcher(ncr_basename(*at), at);
        if (!inner)
            break;
        command->launcher =
            command->launcher ? formatted("%s %s", command->launcher, ncr_basename(*at)) : ncr_basename(*at);
        command->started_as = find_on_path(*inner);
        command->inner = at = inner;
    }
    follow_scripts(command);
    describe_program(command);
}
