/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor: can the preload library work here, and is LD_PRELOAD in order? */
#include "cli.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *fix_of_fault(const char *fault) {
    if (strstr(fault, "failed to map segment"))
        return "its file system is mounted noexec: copy nccl-redirect to another one";
    if (strstr(fault, "GLIBC_"))
        return "this C library is older than glibc 2.17: the preload library cannot be used on this host";
    return "install nccl-redirect again; if that does not help, report this output";
}

void check_preload(struct doctor *doctor) {
    const char *problem, *shim = shim_path(false, &problem), *fault = shim ? preload_fault(shim) : NULL;
    if (!shim)
        report(doctor, FAILURE, "preload", "install nccl-redirect again", "%s", problem);
    else if (fault)
        report(doctor, FAILURE, "preload", fix_of_fault(fault), "%s does not load here: %s", shim, fault);
    else
        report(doctor, FINE, "preload", NULL, "%s loads here (glibc %s)", shim, gnu_get_libc_version());
    if (shim && !fault && narrow_programs_run())
        report(doctor, FINE, "32-bit", NULL, "%s",
               strchr(preload_entry(shim), '$')
                   ? "32-bit programs find a stand-in that does nothing (the $LIB in LD_PRELOAD)"
                   : "32-bit programs run without the preload library; their dynamic loader prints one line each "
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
               "lists the preload library more than once, the last time as %s", entry);
    else if (real && own && strcmp(real, own) != 0)
        report(doctor, WARNING, "LD_PRELOAD",
               formatted("use one of them everywhere, for this one: LD_PRELOAD=%s", shim),
               "lists another copy of the preload library, %s, than this tool's %s: these results may not apply "
               "to it",
               entry, shim);
}

/* The file that an entry without a slash means. */
static const char *file_of(const char *entry) {
    struct ncr_ld_hit hit = {NULL, NULL, NCR_LD_NOWHERE};
    if (strchr(entry, '/'))
        return entry;
    return ncr_ld_search(entry, NULL, NCR_LD_ALL, &hit) ? hit.path : NULL;
}

/*
 * A tool that wraps NCCL's functions (nccl_checkpoint) sees no calls unless it comes first: the first library in the
 * list gets them.
 */
static void check_wrappers_behind(struct doctor *doctor, const struct names *entries) {
    bool behind = false;
    for (unsigned i = 0; i < entries->count; i++) {
        const char *entry = entries->list[i], *file = behind ? file_of(entry) : NULL;
        struct elf_info info = {0};
        behind |= is_shim(entry);
        if (!file || is_shim(entry) || ncr_is_nccl_name(entry))
            continue;
        elf_info_read(file, ELF_SYMBOLS, &info);
        if (info.exported.count)
            report(doctor, WARNING, "LD_PRELOAD", formatted("put %s in front of the preload library", entry),
                   "lists %s, which defines %u of NCCL's functions, behind the preload library: they are never called",
                   entry, info.exported.count);
    }
}

/* An audit library can answer each search of the dynamic loader with another file, the one for the chosen NCCL too. */
static void check_audit(struct doctor *doctor) {
    const char *list = getenv("LD_AUDIT");
    for (struct names entries = preload_entries(list); entries.count; entries.count--) {
        const char *entry = entries.list[entries.count - 1], *file = file_of(entry);
        struct ncr_elf elf;
        bool searches = false;
        size_t at = 0;
        ncr_elf_open(&elf, file ? file : entry);
        if (ncr_elf_load_symbols(&elf))
            for (const char *name; !searches && (name = ncr_elf_next_export(&elf, &at));)
                searches = strcmp(name, "la_objsearch") == 0;
        ncr_elf_close(&elf);
        report(doctor, WARNING, "LD_AUDIT", "unset LD_AUDIT, or see what is really active: nccl-redirect doctor -- CMD",
               searches
                   ? "%s answers the searches of the dynamic loader: another NCCL than the chosen one may be opened"
                   : "%s watches the dynamic loader; what it changes cannot be seen from here",
               entry);
    }
}

void check_list(struct doctor *doctor) {
    const char *list = getenv("LD_PRELOAD"), *problem, *shim = shim_path(false, &problem),
               *foreign = foreign_nccl_in(list);
    struct names entries = preload_entries(list);
    unsigned shims = 0, before = doctor->count;
    bool runs = doctor->request->rest_count > 0;
    for (unsigned i = 0; i < entries.count; i++)
        check_entry(doctor, entries.list[i], shim, &shims);
    check_wrappers_behind(doctor, &entries);
    check_audit(doctor);
    if (foreign)
        report(doctor, FAILURE, "LD_PRELOAD",
               formatted("remove it from LD_PRELOAD; to use it, choose it: NCCL_REDIRECT=%s", foreign),
               "lists an NCCL itself, %s: it is used instead of the chosen one, or beside it", foreign);
    if (!shims && !runs && (getenv("NCCL_REDIRECT") || getenv("NCCL_REDIRECT_REQUIRE")))
        report(doctor, WARNING, "LD_PRELOAD",
               "nccl-redirect run -- CMD, or eval \"$(nccl-redirect env)\" before the job; for a Python environment, "
               "nccl-redirect python --enable makes the variables alone enough",
               "does not list the preload library, but a variable of nccl-redirect is set: the variables arrived, the "
               "library did not, and programs started from here are not redirected");
    if (doctor->count == before)
        report(doctor, FINE, "LD_PRELOAD", NULL, "%s",
               shims  ? "lists the preload library once, and no other NCCL"
               : runs ? "is set by run; no other NCCL is in it"
                      : "lists neither the preload library nor an NCCL: programs started from here are not redirected "
                        "(nccl-redirect run -- CMD does that)");
}
