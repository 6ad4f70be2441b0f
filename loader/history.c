/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A history of what was active: one JSON line per process that opened a backend, in a folder that NCCL_REDIRECT_HISTORY
 * names, one file per host. Off without the variable. If a record fails, nothing else does: it is one write to a
 * regular file, no link is followed, and the files stay below a size.
 */
#include "loader.h"
#include "log_output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* A line has about 500 bytes. What is older than the newest file and the one before is forgotten. */
#define MOST_BYTES (NCR_HISTORY_BYTES / 2)

/* Of a value of the environment or a name, so that a line has an end too. No path that can be opened is longer. */
#define MOST_VALUE 4096

/* ---- the line ---- */

/* "key":"value", as JSON wants it; what is not printable is made visible first. Nothing where there is no value. */
static void add_text(struct ncr_text *line, const char *key, const char *value) {
    struct ncr_text visible = {0};
    if (!value || !*value)
        return;
    ncr_text_add_visible(&visible, value, strnlen(value, MOST_VALUE));
    ncr_text_add(line, ",\"%s\":\"", key);
    for (const char *c = ncr_text_get(&visible); *c; c++)
        ncr_text_add(line, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    ncr_text_add(line, "\"");
    ncr_text_free(&visible);
}

static const char *const job_names[] = {"SLURM_JOB_ID", "PBS_JOBID",           "LSB_JOBID",
                                        "FLUX_JOB_ID",  "TORCHELASTIC_RUN_ID", NULL};
static const char *const rank_names[] = {"RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", NULL};
static const char *const job_prefixes[] = {
    "SLURM_", "PBS_JOBID=", "LSB_JOBID=", "FLUX_JOB_ID=", "TORCHELASTIC_RUN_ID=", "RANK=", "OMPI_COMM_", "PMI", NULL};

static const char *first_of(const struct ncr_variables *variables, const char *const *names) {
    const char *value = NULL;
    while (!value && *names)
        value = ncr_variable(variables, *names++);
    return value;
}

/* Job and rank as launchers tell them, or the program itself before it initialises NCCL. */
static void add_job(struct ncr_text *line) {
    struct ncr_variables variables;
    ncr_variables_read_some(&variables, job_prefixes);
    add_text(line, "job", first_of(&variables, job_names));
    add_text(line, "step", ncr_variable(&variables, "SLURM_STEP_ID"));
    add_text(line, "rank", first_of(&variables, rank_names));
    ncr_variables_free(&variables);
}

static void add_backend(struct ncr_text *line, const struct ncr_config *config, const struct ncr_backend *backend) {
    char version[16];
    ncr_version_text(backend->version, version);
    add_text(line, backend->rccl ? "rccl" : "nccl", version);
    add_text(line, "file", backend->path);
    add_text(line, "build_id", backend->build_id ? backend->build_id : "");
    add_text(line, "method", ncr_method_name(backend->method));
    add_text(line, "origin", backend->origin);
    add_text(line, "decided_by", config->decided_by);
}

static void make_line(struct ncr_text *line, const char *host, const struct ncr_config *config,
                      const struct ncr_backend *backend) {
    struct tm utc;
    time_t now = time(NULL);
    gmtime_r(&now, &utc);
    ncr_text_add(line, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02dZ\",\"pid\":%d,\"user\":%u", utc.tm_year + 1900,
                 utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)getpid(), (unsigned)geteuid());
    add_text(line, "host", host);
    add_text(line, "program", ncr_basename(program_invocation_name));
    add_job(line);
    add_backend(line, config, backend);
    ncr_text_add(line, "}\n");
}

/* ---- the file ---- */

/* A full file is renamed, and a new one begins. The process that gets the lock does this; others continue to write. */
static int begin_anew(const char *folder, const char *base, int file) {
    struct stat opened, named;
    char *path = ncr_path("%s/%s.jsonl", folder, base), *old = ncr_path("%s/%s.old.jsonl", folder, base);
    char *name = ncr_path("%s.jsonl", base);
    int fresh = -1, again = path ? ncr_file_open(path, &named) : -1;
    if (again >= 0 && old && name && flock(file, LOCK_EX | LOCK_NB) == 0 && syscall(SYS_fstat, file, &opened) == 0 &&
        named.st_ino == opened.st_ino && named.st_dev == opened.st_dev && rename(path, old) == 0)
        fresh = ncr_log_open_at(folder, name);
    if (again >= 0)
        close(again);
    free(path);
    free(old);
    free(name);
    if (fresh < 0)
        return file;
    close(file);
    return fresh;
}

/* Where no file can be renamed (a folder that is not writable, a file system without locks) this one has an end, too. */
static int within_bounds(int file) {
    struct stat status;
    if (syscall(SYS_fstat, file, &status) == 0 && status.st_size < NCR_HISTORY_BYTES)
        return file;
    close(file);
    errno = EFBIG;
    return -1;
}

/* FOLDER/HOST.jsonl, or, where that belongs to another user, FOLDER/HOST.USER.jsonl. -1 with errno. */
static int open_file(const char *folder, const char *host) {
    char *bases[] = {ncr_path("%s", host), ncr_path("%s.%u", host, (unsigned)geteuid())};
    struct stat status;
    int file = -1;
    for (unsigned i = 0; i < 2 && file < 0; i++) {
        char *name = bases[i] ? ncr_path("%s.jsonl", bases[i]) : NULL;
        file = name ? ncr_log_open_at(folder, name) : -1;
        free(name);
        if (file >= 0 && syscall(SYS_fstat, file, &status) == 0 && status.st_size >= MOST_BYTES)
            file = within_bounds(begin_anew(folder, bases[i], file));
        if (file < 0 && errno != EACCES && errno != EPERM)
            break;
    }
    int error = errno;
    free(bases[0]);
    free(bases[1]);
    errno = error;
    return file;
}

/** Record which backend this process has opened, if NCCL_REDIRECT_HISTORY wants it. Keeps errno. */
void ncr_history_add(const struct ncr_config *config, const struct ncr_backend *backend) {
    struct utsname system;
    struct ncr_text line = {0};
    int before = errno, error = 0;
    if (!config->history)
        return;
    if (uname(&system) != 0 || !*system.nodename)
        strcpy(system.nodename, "unknown");
    for (char *c = system.nodename; *c; c++)
        if (*c == '/')
            *c = '_';
    make_line(&line, system.nodename, config, backend);
    int file = open_file(config->history, system.nodename);
    if (file < 0)
        error = errno;
    else
        error = ncr_log_write(file, ncr_text_get(&line), line.length);
    if (file >= 0)
        close(file);
    if (error)
        ncr_log(NCR_WARN, "NCCL_REDIRECT_HISTORY=%s: this process is not recorded there: %s", config->history,
                strerror(error));
    ncr_text_free(&line);
    errno = before;
}
