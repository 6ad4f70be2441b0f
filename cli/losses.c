/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where LD_PRELOAD is lost on the way to a program: one table for run (a warning, or an error with --strict), explain and
 * doctor. docs/launchers.md has the same in prose.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The options of one step: the words between its name and the command that it starts. */
struct options {
    char **first, **end;
};

static bool has(const struct options *options, const char *start) {
    for (char **at = options->first; at < options->end && *at; at++)
        if (ncr_begins(*at, start))
            return true;
    return false;
}

static bool is_option(const struct options *options, const char *word) {
    for (char **at = options->first; at < options->end && *at; at++)
        if (strcmp(*at, word) == 0)
            return true;
    return false;
}

/* The value of an option, as "--export=x" or "--export x". */
static const char *value_of(const struct options *options, const char *name) {
    size_t length = strlen(name);
    for (char **at = options->first; at < options->end && *at; at++)
        if (strncmp(*at, name, length) == 0 && ((*at)[length] == '=' || !(*at)[length]))
            return (*at)[length] ? *at + length + 1 : at + 1 < options->end ? at[1] : NULL;
    return NULL;
}

static bool always(const struct options *options) {
    (void)options;
    return true;
}

/* ---- env ---- */

/* -i alone, or among letters such as -iv. */
static bool clears(const struct options *options) {
    for (char **at = options->first; at < options->end && *at; at++)
        if (strcmp(*at, "-") == 0 || strcmp(*at, "--ignore-environment") == 0 ||
            ((*at)[0] == '-' && (*at)[1] != '-' && (*at)[1] != 'u' && (*at)[1] != 'S' && strchr(*at, 'i')))
            return true;
    return false;
}

static bool env_unsets(const struct options *options) {
    const char *unset = value_of(options, "--unset"), *u = value_of(options, "-u");
    return has(options, "-uLD_PRELOAD") || (unset && strcmp(unset, "LD_PRELOAD") == 0) ||
           (u && strcmp(u, "LD_PRELOAD") == 0);
}

/* LD_PRELOAD=other.so in front of the command. */
static bool env_replaces(const struct options *options) {
    for (char **at = options->first; at < options->end && *at; at++)
        if (ncr_begins(*at, "LD_PRELOAD=")) {
            struct names entries = preload_entries(*at + 11);
            for (unsigned i = 0; i < entries.count; i++)
                if (is_shim_name(ncr_basename(entries.list[i])))
                    return false;
            return true;
        }
    return false;
}

static bool env_clears(const struct options *options) {
    return clears(options) && !has(options, "LD_PRELOAD=");
}

/* ---- other users ---- */

/* sudo never passes it on by itself, not even with -E: LD_* is on its list. NAME=value and a list of names do. */
static bool sudo_drops(const struct options *options) {
    const char *kept = value_of(options, "--preserve-env");
    return !has(options, "LD_PRELOAD=") && !(kept && strstr(kept, "LD_PRELOAD"));
}

static bool is_login(const struct options *options) {
    return is_option(options, "-") || is_option(options, "-l") || is_option(options, "--login");
}

/* su is set-uid: for anybody but root the dynamic loader takes LD_PRELOAD out before su runs. */
static bool su_drops(const struct options *options) {
    return is_login(options) || geteuid() != 0;
}

/* ---- Slurm ---- */

static bool exports_selected(const char *list) {
    return list && !strstr(list, "LD_PRELOAD") && strncasecmp(list, "ALL", 3) != 0;
}

static bool srun_selects(const struct options *options) {
    const char *list = value_of(options, "--export");
    return exports_selected(list ? list : getenv("SLURM_EXPORT_ENV"));
}

static bool sbatch_selects(const struct options *options) {
    const char *list = value_of(options, "--export");
    return exports_selected(list ? list : getenv("SBATCH_EXPORT"));
}

static bool mpirun_goes_elsewhere(const struct options *options) {
    return !has(options, "LD_PRELOAD") &&
           (has(options, "-H") || has(options, "--host") || has(options, "-host") || has(options, "-machinefile"));
}

static bool systemd_starts(const struct options *options) {
    return !is_option(options, "--scope") && !has(options, "--setenv=LD_PRELOAD") && !has(options, "-ELD_PRELOAD");
}

/* ---- the table ---- */

static const struct row {
    const char *starter;
    bool (*applies)(const struct options *options);
    bool certain;
    const char *text, *fix;
} rows[] = {
    {"env", env_clears, true, "env -i clears the environment, LD_PRELOAD with it",
     "put nccl-redirect run behind it: env -i nccl-redirect run -- CMD"},
    {"env", env_unsets, true, "env -u LD_PRELOAD removes it", "leave that option out"},
    {"env", env_replaces, true, "env sets LD_PRELOAD to other libraries",
     "append the library to that list, or put "
     "nccl-redirect run behind it: env LD_PRELOAD=... nccl-redirect run -- CMD"},
    {"setpriv", always, false, "setpriv --reset-env clears the environment", "put nccl-redirect run behind it"},
    {"sudo", sudo_drops, true, "sudo drops LD_PRELOAD, with -E too",
     "put nccl-redirect run behind it: sudo nccl-redirect run -- CMD"},
    {"doas", always, true, "doas drops LD_PRELOAD", "put nccl-redirect run behind it: doas nccl-redirect run -- CMD"},
    {"pkexec", always, true, "pkexec drops LD_PRELOAD",
     "put nccl-redirect run behind it: pkexec nccl-redirect run -- CMD"},
    {"su", su_drops, true, "su drops LD_PRELOAD",
     "put nccl-redirect run into its command: su -c 'nccl-redirect run -- CMD'"},
    {"runuser", is_login, true, "runuser - drops LD_PRELOAD", "put nccl-redirect run into its command"},
    {"srun", srun_selects, true, "srun --export=NAME passes only what it names, not LD_PRELOAD",
     "add ALL: --export=ALL,NAME; or paste the output of nccl-redirect env --format srun"},
    {"sbatch", sbatch_selects, true, "sbatch --export=NAME passes only what it names, not LD_PRELOAD",
     "add ALL: --export=ALL,NAME; or put nccl-redirect run into the batch script"},
    {"mpirun", mpirun_goes_elsewhere, false,
     "Open MPI passes LD_PRELOAD to processes on other hosts only with -x LD_PRELOAD",
     "paste the output of nccl-redirect env --format mpirun into the command"},
    {"mpiexec", mpirun_goes_elsewhere, false,
     "Open MPI passes LD_PRELOAD to processes on other hosts only with -x LD_PRELOAD",
     "paste the output of nccl-redirect env --format mpirun into the command"},
    {"docker", always, true, "docker starts the program elsewhere, without this environment",
     "paste the output of nccl-redirect env --format docker into the command"},
    {"podman", always, true, "podman starts the program elsewhere, without this environment",
     "paste the output of nccl-redirect env --format docker into the command"},
    {"nerdctl", always, true, "nerdctl starts the program elsewhere, without this environment",
     "paste the output of nccl-redirect env --format docker into the command"},
    {"kubectl", always, true, "kubectl starts the program elsewhere, without this environment",
     "merge the output of nccl-redirect env --format k8s into the pod"},
    {"apptainer", always, false, "a container of apptainer has another file system, where the library may not be",
     "apptainer exec --bind FOLDER --env LD_PRELOAD=...; docs/containers.md has the line"},
    {"singularity", always, false, "a container of singularity has another file system, where the library may not be",
     "singularity exec --bind FOLDER --env LD_PRELOAD=...; docs/containers.md has the line"},
    {"ssh", always, true, "ssh starts the program elsewhere, without this environment",
     "put nccl-redirect run behind it: ssh HOST nccl-redirect run -- CMD"},
    {"pdsh", always, true, "pdsh starts the program elsewhere, without this environment",
     "put nccl-redirect run behind it: pdsh -w HOSTS nccl-redirect run -- CMD"},
    {"clush", always, true, "clush starts the program elsewhere, without this environment",
     "put nccl-redirect run behind it: clush -w HOSTS nccl-redirect run -- CMD"},
    {"systemd-run", systemd_starts, true, "systemd-run starts the program with the environment of systemd",
     "add --scope, or --setenv=LD_PRELOAD --setenv=NCCL_REDIRECT"},
};

static void add(struct command *command, bool certain, const char *text, const char *fix) {
    command->losses = list_grow(command->losses, command->loss_count, sizeof *command->losses);
    command->losses[command->loss_count++] = (struct loss){certain, text, fix};
}

/** Note what one program on the way does to LD_PRELOAD; `inner` is where the next one begins in its words, or NULL. */
void losses_of_step(struct command *command, char **words, char **inner) {
    char **end = words;
    while (*end && end != inner)
        end++;
    const struct options options = {words + 1, end};
    for (char **at = words + 1; *at; at++)
        if (strcmp(ncr_basename(*at), "nccl-redirect") == 0 || strstr(*at, "nccl-redirect run")) {
            command->loss_count = 0; /* nccl-redirect sets it again there */
            return;
        }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(ncr_basename(words[0]), rows[i].starter) == 0 && rows[i].applies(&options))
            add(command, rows[i].certain, rows[i].text, rows[i].fix);
}

/* Processes that tell of a starter which has exited, or is on another host. */
static const char *starter_behind(const char *process) {
    static const char *const names[][2] = {
        {"slurmstepd", "srun"}, {"sshd", "ssh"}, {"containerd-shim", "docker"}, {"conmon", "podman"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ncr_begins(process, names[i][0]))
            return names[i][1];
    return process;
}

/** What a running process of this name does to LD_PRELOAD, where that is known. */
bool loss_of_process(const char *name, struct loss *loss) {
    const char *starter = starter_behind(name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].starter, starter) == 0 && strcmp(starter, "env") != 0) {
            *loss = (struct loss){rows[i].certain, rows[i].text, rows[i].fix};
            return true;
        }
    return false;
}

/** Why a preload library has no effect on the program itself, or NULL. */
const char *ignores_preload_word(const struct command *command) {
    return command->elsewhere   ? NULL /* the program is started by something else there */
           : command->is_static ? "linked statically"
           : command->set_uid   ? "a set-uid program"
           : command->narrow    ? "a 32-bit program"
           : command->musl      ? "built for musl, whose loader ignores this library"
                                : NULL;
}

void losses_of_program(struct command *command) {
    const char *word = ignores_preload_word(command);
    if (word)
        add(command, true, formatted("%s is %s: a preload library has no effect on it", command->program, word),
            "if it uses NCCL itself, it needs another build");
}

/** "lost", "may be lost" or "kept". */
const char *loss_word(const struct command *command) {
    const char *word = "kept";
    for (unsigned i = 0; i < command->loss_count; i++)
        if (command->losses[i].certain)
            return "lost";
        else
            word = "may be lost";
    return word;
}
