/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that start the command among their arguments: how each hands it over. For those that bring an environment of
 * their own (uv, conda, …) where its Python is, as long as that can be known without running them.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_among(const char *word, const char *list) {
    return strstr(list, formatted(" %s ", word)) != NULL;
}

/* The words after the options; `valued` lists options whose value is the next word. */
static char **behind_options(char **at, const char *valued) {
    while (*at && **at == '-' && strcmp(*at, "--") != 0) {
        bool value = is_among(*at, valued) && at[1];
        at += value ? 2 : 1;
    }
    return *at && strcmp(*at, "--") == 0 ? at + 1 : at;
}

/*
 * The words after the word that makes it a starter, such as "run" in `poetry -C folder run`; without such a word, after
 * the name. NULL: not found.
 */
static char **behind_word(const struct starter *starter, char **words) {
    char **at = starter->word ? behind_options(words + 1, starter->valued ? starter->valued : " ") : words;
    return !starter->word || (*at && is_among(*at, formatted(" %s ", starter->word))) ? at + 1 : NULL;
}

/* The value of an option, as "-n x", "--name x" or "--name=x", among the words up to `end`. */
static const char *value_of(char **at, char **end, const char *names) {
    for (; at < end && *at; at++) {
        size_t length = strcspn(*at, "=");
        if (is_among(formatted("%.*s", (int)length, *at), names))
            return (*at)[length] ? *at + length + 1 : at + 1 < end ? at[1] : NULL;
    }
    return NULL;
}

static bool has_option(char **at, char **end, const char *names) {
    for (; at < end && *at; at++)
        if (is_among(formatted("%.*s", (int)strcspn(*at, "="), *at), names))
            return true;
    return false;
}

/* ---- those that hand over their environment as it is ---- */

/*
 * The first word that is a program, for those whose options are not listed: an option's value (-np 2) is not a program.
 */
static char **first_program(char **at) {
    for (; *at; at++)
        if (**at != '-' && find_on_path(*at))
            return at;
    return NULL;
}

static char **inner_plain(const struct starter *starter, struct command *command, char **words) {
    char **start = behind_word(starter, words), **at = starter->valued ? behind_options(start, starter->valued) : start;
    if (starter->skip)
        for (unsigned i = 0; i < starter->skip && *at; i++)
            at++;
    char **inner = *at && find_on_path(*at) ? at : first_program(start);
    if (!inner)
        command->opaque = formatted("it is not known what %s starts", starter->name);
    return inner;
}

/* env's assignments apply to the command, too; -S has a command line in one word. */
static char **inner_env(const struct starter *starter, struct command *command, char **words) {
    char **at = words + 1;
    for (; *at && (**at == '-' || assignment_apply(*at)); at++) {
        if (ncr_begins(*at, "-S") && (*at)[2] == '\0' && at[1])
            return words_split(at[1], at + 2);
        if (ncr_begins(*at, "-S"))
            return words_split(*at + 2, at + 1);
        if (is_among(*at, " -u --unset -C --chdir ") && at[1])
            at++;
    }
    if (!*at)
        command->opaque = formatted("it is not known what %s starts", starter->name);
    return *at ? at : NULL;
}

/* su -c TEXT, for a shell. */
static char **inner_su(const struct starter *starter, struct command *command, char **words) {
    char **end = words;
    while (*end)
        end++;
    const char *text = value_of(words + 1, end, " -c --command ");
    if (!text) {
        command->opaque = formatted("it is not known what %s starts", starter->name);
        return NULL;
    }
    char *rest[] = {(char *)text, NULL};
    return words_with("sh", words_with("-c", rest));
}

/* ---- those with a Python environment ---- */

/* The nearest folder from `start` upwards that has this file. */
static const char *folder_above(const char *start, const char *file) {
    char *folder = start ? realpath(start, NULL) : getcwd(NULL, 0);
    for (; folder && *folder; folder = ncr_parent(folder, 1))
        if (ncr_file_exists(formatted("%s/%s", folder, file)))
            return folder;
    return NULL;
}

/* A command inside of an environment: its bin comes first on PATH there; a .py file is for its Python. */
static char **inside(struct command *command, const char *environment, char **words) {
    const char *python = environment ? formatted("%s/bin/python", environment) : NULL;
    size_t length = *words ? strlen(*words) : 0;
    if (!python || !ncr_file_exists(python)) {
        command->opaque = environment ? formatted("its environment %s is not there yet", environment)
                                      : "where its environment is cannot be known";
        return NULL;
    }
    const char *own = *words ? formatted("%s/bin/%s", environment, *words) : "";
    bool script = length > 3 && strcmp(*words + length - 3, ".py") == 0;
    if (script || (*words && is_among(*words, " - -m --module -c ")))
        return words_with(python, words);
    if (*words && !strchr(*words, '/') && ncr_file_exists(own))
        return words_with(own, words + 1);
    if (*words && find_on_path(*words))
        return words;
    command->opaque =
        *words ? formatted("%s is neither in %s nor on PATH", *words, environment) : "it names no command";
    return NULL;
}

/* Some make a new environment for one run. */
static char **inner_uv(const struct starter *starter, struct command *command, char **words) {
    char **at = behind_options(behind_word(starter, words), starter->valued);
    const char *start = value_of(words, at, " --project --directory ");
    const char *project = folder_above(start, "pyproject.toml"), *named = getenv("UV_PROJECT_ENVIRONMENT");
    if (has_option(words, at,
                   " --with --with-editable --with-requirements --isolated --no-project --python -p --script -s ")) {
        command->opaque = "uv makes an environment for this run";
        return NULL;
    }
    const char *environment = !project                 ? folder_above(start, ".venv/bin/python")
                              : named && *named == '/' ? named
                              : named && *named        ? formatted("%s/%s", project, named)
                                                       : project;
    if (environment && !(named && *named && project))
        environment = formatted("%s/.venv", environment);
    if (!project && getenv("VIRTUAL_ENV"))
        environment = getenv("VIRTUAL_ENV");
    if (has_option(words, at, " -m --module "))
        at = words_with("-m", at);
    return inside(command, environment, at);
}

static char **inner_project(const struct starter *starter, struct command *command, char **words) {
    char **at = behind_options(behind_word(starter, words), starter->valued);
    const char *project = folder_above(value_of(words, at, " -C --directory -P --project -p "), starter->marker);
    const char *environment = project ? formatted("%s/%s", project, starter->environment) : NULL;
    if ((!environment || !ncr_file_exists(environment)) && getenv("VIRTUAL_ENV"))
        environment = getenv("VIRTUAL_ENV");
    else if (!environment || !ncr_file_exists(environment))
        environment = NULL; /* in a cache of its own */
    return inside(command, environment, at);
}

static const char *conda_root(const char *name) {
    const char *exe = getenv("CONDA_EXE"), *root = getenv("MAMBA_ROOT_PREFIX");
    if (strcmp(name, "micromamba") == 0)
        return root;
    char *file = exe && *exe ? realpath(exe, NULL) : find_on_path(name);
    return file ? ncr_parent(file, 2) : NULL;
}

static char **inner_conda(const struct starter *starter, struct command *command, char **words) {
    char **at = behind_options(behind_word(starter, words), starter->valued);
    const char *name = value_of(words, at, " -n --name "), *prefix = value_of(words, at, " -p --prefix ");
    const char *root = conda_root(starter->name), *home = getenv("HOME");
    if (!prefix && name)
        prefix = strcmp(name, "base") == 0 ? root : root ? formatted("%s/envs/%s", root, name) : NULL;
    if (name && home && (!prefix || !ncr_file_exists(prefix)))
        prefix = formatted("%s/.conda/envs/%s", home, name);
    if (!name && !prefix)
        prefix = getenv("CONDA_PREFIX");
    return inside(command, prefix, at);
}

/* ---- those that start it elsewhere ---- */

static char **inner_elsewhere(const struct starter *starter, struct command *command, char **words) {
    (void)words;
    command->elsewhere = true;
    command->opaque = formatted("%s starts it elsewhere", starter->name);
    return NULL;
}

/* On another host, from a script that is here. */
static char **inner_batch(const struct starter *starter, struct command *command, char **words) {
    char **at = behind_options(words + 1, starter->valued);
    const char *script = !*at || strchr(*at, '/') ? *at : formatted("./%s", *at);
    command->doubt = formatted("%s starts it on another host", starter->name);
    if (!script || !ncr_file_exists(script))
        return NULL;
    return find_on_path(script) ? words_with(script, at + 1) : words_with("sh", words_with(script, at + 1));
}

#define SLURM_VALUED                                                                                                       \
    " -A -B -b -c -C -d -D -e -E -F -G -i -J -k -L -m -M -n -N -o -p -q -r -S -t -T -w -W -x --account --cpus-per-task "   \
    "--constraint --dependency --chdir --error --export --gpus --gpus-per-node --gpus-per-task --gres --input --job-name " \
    "--licenses --mem --mem-per-cpu --mem-per-gpu --ntasks --ntasks-per-node --nodes --output --partition --qos "          \
    "--reservation --time --nodelist --exclude --mpi --container-image --container-mounts --nccl "
#define MPI_VALUED                                                                                                          \
    " -np -n -c -N -H -x -host --host -hostfile --hostfile -machinefile --machinefile -wdir --wdir -wd -rf -ppn -f -hosts " \
    "-env -genv -genvlist -envlist --bind-to --map-by --rank-by --prefix -npernode --npernode "
#define UV_VALUED                                                                                                            \
    " --project --directory --extra --group --only-group --with --with-editable --with-requirements --python -p --env-file " \
    "--package --index --index-url --default-index --find-links -f --config-file --cache-dir --color --link-mode "

static const struct starter starters[] = {
    {"env", NULL, inner_env, .valued = NULL},
    {"nohup", NULL, inner_plain, .valued = " "},
    {"nice", NULL, inner_plain, .valued = " -n --adjustment "},
    {"ionice", NULL, inner_plain, .valued = " -c -n --class --classdata "},
    {"timeout", NULL, inner_plain, .valued = " -k -s --kill-after --signal ", .skip = 1},
    {"time", NULL, inner_plain, .valued = " -f -o --format --output "},
    {"stdbuf", NULL, inner_plain, .valued = " -i -o -e "},
    {"setsid", NULL, inner_plain, .valued = " "},
    {"setpriv", NULL, inner_plain, .valued = NULL},
    {"numactl", NULL, inner_plain,
     .valued = " -N -m -C -p -i --cpunodebind --membind --physcpubind --preferred --interleave "},
    {"taskset", NULL, inner_plain, .valued = " ", .skip = 1},
    {"chrt", NULL, inner_plain, .valued = " ", .skip = 1},
    {"strace", NULL, inner_plain, .valued = " -e -o -s -p -u -E -I -a -b -P -X "},
    {"ltrace", NULL, inner_plain, .valued = " -e -o -s -p -u -l -x -n "},
    {"catchsegv", NULL, inner_plain, .valued = " "},
    {"flock", NULL, inner_plain, .valued = " -w -E --timeout --conflict-exit-code ", .skip = 1},
    {"xargs", NULL, inner_plain, .valued = " -I -n -P -L -d -a -s -E "},
    {"watch", NULL, inner_plain, .valued = " -n --interval "},
    {"tini", NULL, inner_plain, .valued = " -p -e "},
    {"dumb-init", NULL, inner_plain, .valued = " "},
    {"unshare", NULL, inner_plain, .valued = NULL},
    {"nsys", "profile launch", inner_plain, .valued = NULL},
    {"ncu", NULL, inner_plain, .valued = NULL},
    {"compute-sanitizer", NULL, inner_plain, .valued = NULL},
    {"mpirun", NULL, inner_plain, .valued = MPI_VALUED},
    {"mpiexec", NULL, inner_plain, .valued = MPI_VALUED},
    {"orterun", NULL, inner_plain, .valued = MPI_VALUED},
    {"prterun", NULL, inner_plain, .valued = MPI_VALUED},
    {"srun", NULL, inner_plain, .valued = SLURM_VALUED},
    {"sudo", NULL, inner_plain, .valued = " -u -g -C -D -h -p -R -r -t -T -U --user --group --chdir --host --prompt "},
    {"doas", NULL, inner_plain, .valued = " -u -C "},
    {"su", NULL, inner_su, .valued = NULL},
    {"runuser", NULL, inner_plain, .valued = " -u -g -G --user --group "},
    {"pkexec", NULL, inner_plain, .valued = " --user "},
    {"chroot", NULL, inner_elsewhere, .valued = NULL},
    {"nccl-redirect", "run", inner_plain, .valued = " --use --require --log "},
    {"uv", "run", inner_uv, .valued = UV_VALUED},
    {"poetry", "run", inner_project, " -C --directory -P --project ", .marker = "pyproject.toml",
     .environment = ".venv"},
    {"pdm", "run", inner_project, " -p --project ", .marker = "pyproject.toml", .environment = ".venv"},
    {"rye", "run", inner_project, " ", .marker = "pyproject.toml", .environment = ".venv"},
    {"pipenv", "run", inner_project, " ", .marker = "Pipfile", .environment = ".venv"},
    {"pixi", "run", inner_project, " -e --environment --manifest-path ", .marker = "pixi.toml",
     .environment = ".pixi/envs/default"},
    {"conda", "run", inner_conda, .valued = " -n --name -p --prefix --cwd "},
    {"mamba", "run", inner_conda, .valued = " -n --name -p --prefix --cwd "},
    {"micromamba", "run", inner_conda, .valued = " -n --name -p --prefix --cwd -r --root-prefix "},
    {"sbatch", NULL, inner_batch, .valued = SLURM_VALUED},
    {"salloc", NULL, inner_plain, .valued = SLURM_VALUED},
    {"qsub", NULL, inner_batch, .valued = NULL},
    {"bsub", NULL, inner_batch, .valued = NULL},
    {"docker", NULL, inner_elsewhere, .valued = NULL},
    {"podman", NULL, inner_elsewhere, .valued = NULL},
    {"nerdctl", NULL, inner_elsewhere, .valued = NULL},
    {"kubectl", NULL, inner_elsewhere, .valued = NULL},
    {"apptainer", NULL, inner_elsewhere, .valued = NULL},
    {"singularity", NULL, inner_elsewhere, .valued = NULL},
    {"enroot", NULL, inner_elsewhere, .valued = NULL},
    {"ssh", NULL, inner_elsewhere, .valued = NULL},
    {"pdsh", NULL, inner_elsewhere, .valued = NULL},
    {"clush", NULL, inner_elsewhere, .valued = NULL},
    {"systemd-run", NULL, inner_elsewhere, .valued = NULL},
};

/** The row of a command line, or NULL: one that is known to start another. */
const struct starter *starter_of(char **words) {
    const char *name = ncr_basename(words[0]);
    for (size_t i = 0; i < sizeof starters / sizeof *starters; i++)
        if (strcmp(starters[i].name, name) == 0 && behind_word(&starters[i], words))
            return &starters[i];
    return NULL;
}
