/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command line will execute in the end: found on PATH as execvp finds it, through the interpreter lines of scripts,
 * shell scripts, and programs that start others (starters.c), whose own process has nothing to do with NCCL.
 */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_STEPS 12 /* programs and interpreter lines behind each other */
#define MOST_SCRIPT ((size_t)1 << 18)

/* ---- words ---- */

static size_t words_count(char **words) {
    size_t count = 0;
    while (words[count])
        count++;
    return count;
}

/** A list with one more word in front. */
char **words_with(const char *first, char **rest) {
    size_t count = words_count(rest);
    char **words = list_grow(NULL, 0, (count + 2) * sizeof *words);
    words[0] = (char *)first;
    memcpy(words + 1, rest, (count + 1) * sizeof *words);
    return words;
}

/** The words of a string, separated by blanks, followed by more words. */
char **words_split(const char *text, char **rest) {
    char *copy = (char *)formatted("%s", text), *word = strtok(copy, " \t");
    struct names found = {NULL, 0};
    for (; word; word = strtok(NULL, " \t"))
        names_add(&found, word);
    for (unsigned i = found.count; i > 0; i--)
        rest = words_with(found.list[i - 1], rest);
    return rest;
}

/** NAME=value in front of a command applies to the command: put it into our own environment. */
bool assignment_apply(const char *word) {
    const char *equals = strchr(word, '=');
    if (!equals || equals == word)
        return false;
    if (!ncr_begins(word, "LD_PRELOAD="))
        setenv(formatted("%.*s", (int)(equals - word), word), equals + 1, 1);
    return true;
}

/* ---- finding files ---- */

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

/* ---- the steps ---- */

static bool is_shell(const char *name) {
    static const char *const shells[] = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(name, shells[i]) == 0)
            return true;
    return false;
}

bool is_python(const char *path) {
    return ncr_begins(ncr_basename(path), "python");
}

/* Does the program that was found use NCCL? A Python may. */
static bool is_of_nccl(const struct command *command) {
    struct reached reached;
    if (!command->program)
        return false;
    if (is_python(command->program))
        return true;
    for (unsigned i = 0; i < command->subject.object_count; i++)
        if (command->subject.objects[i].needs_nccl)
            return true;
    reach_of_file(command->program, false, &reached);
    return reached.reach != REACH_NONE;
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
    command->musl = info.interpreter && strstr(info.interpreter, "ld-musl");
    if (ncr_file_status(command->program, &status))
        command->set_uid = ((status.st_mode & S_ISUID) && status.st_uid != getuid()) ||
                           ((status.st_mode & S_ISGID) && status.st_gid != getgid());
    dependencies(command->program, &command->objects, &count);
    for (unsigned i = 0; i < count && !command->sanitizer; i++) {
        const char *name = ncr_basename(command->objects[i].path);
        if (ncr_begins(name, "libasan.so") || ncr_begins(name, "libclang_rt.asan"))
            command->sanitizer = command->objects[i].path;
    }
    command->subject = (struct ncr_subject){command->program, command->started_as, command->objects, count};
}

static void follow(struct command *command, char **words, unsigned depth);

/* Take the result of resolving a command of a script. */
static void adopt(struct command *command, const struct command *found) {
    const struct command outer = *command;
    *command = *found;
    command->argv = outer.argv;
    command->file = outer.file;
    command->script = outer.script;
}

/* The first command of a script that may use NCCL. */
static void look_into_text(struct command *command, const char *text, const char *name, unsigned depth) {
    struct shell_text shell;
    const char *unresolved = NULL;
    shell_text_read(&shell, text);
    for (unsigned i = 0; i < shell.count; i++) {
        struct command inner = *command;
        inner.opaque = NULL;
        inner.launcher = command->launcher;
        follow(&inner, shell.commands[i], depth + 1);
        if (is_of_nccl(&inner)) {
            adopt(command, &inner);
            break;
        }
        command->losses = inner.losses;
        command->loss_count = inner.loss_count;
        if (!unresolved && (inner.opaque || !inner.program))
            unresolved = shell.commands[i][0];
    }
    if (shell.unknown)
        command->opaque = formatted("%s is a shell script, and %s", name, shell.unknown);
    else if (unresolved && !command->program)
        command->opaque = formatted("it is not known what %s, started by %s, will run", unresolved, name);
}

static void look_into_shell(struct command *command, char **words, unsigned depth) {
    char **at = words + 1;
    if (*at && strcmp(ncr_basename(words[0]), "busybox") == 0)
        at++; /* its first argument is the shell */
    for (; *at && (**at == '-' || **at == '+'); at++) {
        size_t length = strlen(*at);
        if (**at == '-' && (*at)[1] != '-' && length > 1 && (*at)[length - 1] == 'c') {
            look_into_text(command, at[1] ? at[1] : "", "its command", depth);
            return;
        }
        if (strcmp(*at, "-o") == 0 || strcmp(*at, "+o") == 0)
            at += at[1] != NULL;
    }
    char *file = *at && !strchr(*at, '/') && !ncr_file_exists(*at) ? find_on_path(*at) : *at;
    char *text = file ? ncr_file_text(file, MOST_SCRIPT) : NULL;
    if (text) {
        command->script = command->script ? command->script : file;
        look_into_text(command, text, ncr_basename(file), depth);
        free(text);
    } else {
        command->opaque = "what is typed into a shell cannot be known";
    }
}

static void note_step(struct command *command, const struct starter *starter, char **words, char **inner) {
    command->launcher = command->launcher ? formatted("%s %s", command->launcher, starter->name) : starter->name;
    losses_of_step(command, words, inner);
}

/* One interpreter line: its words in front of the script's. */
static char **through_script(struct command *command, const char *file, char **words) {
    char *argument, *interpreter = interpreter_line(file, &argument);
    if (!interpreter)
        return NULL;
    command->script = command->script ? command->script : file;
    char **rest = words_with(file, words + 1);
    if (strcmp(ncr_basename(interpreter), "env") != 0)
        return words_with(interpreter, *argument ? words_with(argument, rest) : rest);
    const char *line = ncr_begins(argument, "-S") ? argument + 2 : argument;
    char **split = words_split(line, rest);
    while (*split && split[0] != file && (**split == '-' || assignment_apply(*split)))
        split++;
    return split;
}

static unsigned steps; /* followed, of all command lines of all scripts */

/* Go on from a command line to the program that it ends in. */
static void follow(struct command *command, char **words, unsigned depth) {
    while (words && *words && depth++ < MOST_STEPS && steps++ < MOST_STEPS * MOST_STEPS && !command->opaque) {
        char *file = find_on_path(*words), **next;
        const struct starter *starter = starter_of(words);
        if (!file) {
            command->started_as = command->program = NULL;
            return;
        }
        command->started_as = file;
        if (starter) {
            next = starter->inner(starter, command, words);
            note_step(command, starter, words, next);
            if (!next)
                break;
            words = next;
        } else if (is_shell(ncr_basename(file))) {
            look_into_shell(command, words, depth);
            if (!command->program)
                break;
            return;
        } else if ((next = through_script(command, file, words))) {
            words = next;
        } else {
            break;
        }
    }
    if (command->started_as)
        describe_program(command);
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
                               ? formatted("%s cannot be executed: no permission, or a folder; chmod +x, or name its "
                                           "interpreter, as in `python %s`",
                                           *argv, *argv)
                           : strchr(*argv, '/') ? formatted("%s does not exist", *argv)
                                                : formatted("%s is not found on PATH (%s)", *argv, getenv("PATH"));
        return;
    }
    follow(command, argv, 0);
    losses_of_program(command);
    command->opaque = command->opaque ? command->opaque : command->doubt;
    if (!command->opaque && command->program && !is_shell(ncr_basename(command->program)) && !is_of_nccl(command))
        command->opaque = formatted("%s is neither a Python nor linked with NCCL", ncr_basename(command->program));
}
