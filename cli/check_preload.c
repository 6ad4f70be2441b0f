/* Doctor: can the preload work here, is LD_PRELOAD in order, and do the variables mean what was meant? */
#include "cli.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *cure_of(const char *fault) {
    if (strstr(fault, "failed to map segment"))
        return "its file system is mounted noexec: copy nccl-redirect to another one";
    if (strstr(fault, "GLIBC_"))
        return "this C library is older than glibc 2.17: the preload cannot be used on this host";
    return "install nccl-redirect again; if it stays so, report what is printed here";
}

void check_preload(struct doctor *doctor) {
    const char *problem, *shim = shim_path(false, &problem), *fault = shim ? preload_fault(shim) : NULL;
    if (!shim)
        report(doctor, FAILURE, "preload", "install nccl-redirect again", "%s", problem);
    else if (fault)
        report(doctor, FAILURE, "preload", cure_of(fault), "%s does not load here: %s", shim, fault);
    else
        report(doctor, FINE, "preload", NULL, "%s loads here (glibc %s)", shim, gnu_get_libc_version());
    if (shim && !fault && narrow_programs_run())
        report(doctor, FINE, "32-bit", NULL, "%s",
               strchr(preload_entry(shim), '$')
                   ? "32-bit programs find a stand-in that does nothing (the $LIB in LD_PRELOAD)"
                   : "32-bit programs run without the preload; their loader prints one line each "
                     "time (cannot be preloaded: ignored)");
}

static void check_entry(struct doctor *doctor, const char *entry, const char *shim, unsigned *shims) {
    if (strchr(entry, '/') && !strchr(entry, '$') && access(entry, R_OK) != 0) {
        report(doctor, WARNING, "LD_PRELOAD", "correct the path, or remove it from LD_PRELOAD",
               "lists %s, which %s: every program that starts prints an error of ld.so", entry,
               errno == ENOENT ? "does not exist" : "cannot be read");
        return;
    }
    if (!is_shim(entry))
        return;
    char *real = strchr(entry, '$') ? NULL : realpath(entry, NULL), *own = shim ? realpath(shim, NULL) : NULL;
    if (++*shims == 2)
        report(doctor, WARNING, "LD_PRELOAD", "list it once; nccl-redirect run and env do",
               "lists the shim more than once, the last time as %s", entry);
    else if (real && own && strcmp(real, own) != 0)
        report(doctor, WARNING, "LD_PRELOAD",
               formatted("use one of them everywhere, for this one: LD_PRELOAD=%s", shim),
               "lists another copy of the shim, %s, than this tool's %s: what is said here may not "
               "hold for it",
               entry, shim);
}

void check_list(struct doctor *doctor) {
    const char *list = getenv("LD_PRELOAD"), *problem, *shim = shim_path(false, &problem),
               *foreign = foreign_nccl_in(list);
    struct names entries = preload_entries(list);
    unsigned shims = 0, before = doctor->count;
    bool runs = doctor->request->rest_count > 0;
    for (unsigned i = 0; i < entries.count; i++)
        check_entry(doctor, entries.list[i], shim, &shims);
    if (foreign)
        report(doctor, FAILURE, "LD_PRELOAD",
               formatted("remove it from LD_PRELOAD; to have it serve, choose it: NCCL_REDIRECT=%s", foreign),
               "lists an NCCL itself, %s: it serves instead of the chosen one, or beside it", foreign);
    if (!shims && !runs && (getenv("NCCL_REDIRECT") || getenv("NCCL_REDIRECT_REQUIRE")))
        report(doctor, WARNING, "LD_PRELOAD",
               "nccl-redirect run -- CMD, or eval \"$(nccl-redirect env)\" before the job",
               "does not list the shim, but a variable of nccl-redirect is set: nothing reads it, "
               "programs started from here "
               "are not redirected");
    if (doctor->count == before)
        report(doctor, FINE, "LD_PRELOAD", NULL, "%s",
               shims  ? "lists the shim once, and no other NCCL"
               : runs ? "is set by run; no other NCCL is in it"
                      : "is empty of NCCL: programs started from here are not redirected "
                        "(nccl-redirect run -- CMD does that)");
}

static void check_log_file(struct doctor *doctor) {
    const char *file = doctor->config.log_file;
    char *folder = file ? ncr_parent(file, 1) : NULL;
    if (file && access(folder && *folder ? folder : folder ? "/" : ".", W_OK) != 0)
        report(doctor, WARNING, "variables", "make the folder, or unset NCCL_REDIRECT_LOG_FILE",
               "NCCL_REDIRECT_LOG_FILE=%s: its folder cannot be written here, lines go to stderr", file);
}

static void report_lines(struct doctor *doctor, enum level level, const char *lines) {
    for (const char *line = lines; *line; line += strcspn(line, "\n") + 1)
        report(doctor, level, "variables", NULL, "%.*s", (int)strcspn(line, "\n"), line);
}

void check_variables(struct doctor *doctor) {
    const struct ncr_config *config = &doctor->config;
    unsigned before = doctor->count;
    if (config->problem.length)
        report(doctor, FAILURE, "variables", "correct the value, or unset it",
               "%s. NCCL is disabled in every redirected process", ncr_text_get(&config->problem));
    report_lines(doctor, FAILURE, ncr_text_get(&config->errors));
    report_lines(doctor, WARNING, ncr_text_get(&config->warnings));
    check_log_file(doctor);
    if (doctor->count == before)
        report(doctor, FINE, "variables", NULL, "%s%s%s", config->decided_by,
               strcmp(config->decided_by, "the default") == 0 ? " holds: auto (torch, program, system)" : " decides",
               config->require_text ? formatted(", within %s", config->require_text) : "");
}
