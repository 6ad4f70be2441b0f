/* SPDX-License-Identifier: Apache-2.0 */
/* The shim's file, and its place in LD_PRELOAD: a list whose entries are separated by colons or spaces (ld.so(8)). */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NARROW_LOADER "/lib/ld-linux.so.2"
#elif defined(__aarch64__)
#define NARROW_LOADER "/lib/ld-linux-armhf.so.3"
#endif

/*
 * The file's own name, which a process's map shows, has no "libnccl" in it; the name that is written into LD_PRELOAD is
 * a link to it, or this name where links cannot be (in a wheel).
 */
static const char *file_name(bool rccl) {
    return rccl ? "rccl_redirect.so" : "nccl_redirect.so";
}

/** Is this the name of a preload library or of a link to one, in a map perhaps with " (deleted)" behind it? */
bool is_shim_name(const char *base) {
    base += ncr_begins(base, "lib") ? 3 : 0;
    return ncr_begins(base, file_name(false)) || ncr_begins(base, file_name(true));
}

/**
 * Does this file export the shim's mark? A name with $LIB or $PLATFORM in it, which only the loader resolves, counts by
 * name.
 */
bool is_shim(const char *path) {
    static const char mark[] = "nccl_redirect_version";
    struct ncr_elf elf;
    bool found = false;
    if (strchr(path, '$'))
        return is_shim_name(ncr_basename(path));
    ncr_elf_open(&elf, path);
    size_t at = 0;
    if (ncr_elf_load_symbols(&elf))
        for (const char *name; !found && (name = ncr_elf_next_export(&elf, &at));)
            found = strcmp(name, mark) == 0;
    ncr_elf_close(&elf);
    return found;
}

/* The shim in this folder by the name that is written into LD_PRELOAD, or NULL. */
static const char *shim_in(const char *folder, bool rccl) {
    char *real = realpath(folder, NULL);
    const char *file = real ? formatted("%s/%s", real, file_name(rccl)) : NULL;
    const char *link = real ? formatted("%s/lib%s", real, file_name(rccl)) : NULL;
    if (!real || access(link, F_OK) == 0)
        return link;
    return access(file, F_OK) == 0 ? file : NULL;
}

/** The shim that belongs to this tool: beside it in a build tree, or where make install puts it. */
const char *shim_path(bool rccl, const char **problem) {
    static const char *const places[] = {"", "/../lib/nccl-redirect", "/../lib64/nccl-redirect",
                                         "/../libexec/nccl-redirect"};
    char *self = realpath("/proc/self/exe", NULL), *folder = self ? ncr_parent(self, 1) : NULL;
    *problem = NULL;
    for (size_t i = 0; folder && i < sizeof places / sizeof *places; i++) {
        const char *path = shim_in(formatted("%s%s", folder, places[i]), rccl);
        if (!path)
            continue;
        if (strpbrk(path, ": "))
            *problem = formatted("%s: a colon or a space in the path cannot be written in LD_PRELOAD; "
                                 "install nccl-redirect in "
                                 "a folder without",
                                 path);
        else if (access(path, R_OK) != 0)
            *problem = formatted("%s cannot be read; chmod a+r it and its folders", path);
        else if (!is_shim(path))
            *problem =
                formatted("%s is not the preload library (an interrupted copy?); install nccl-redirect again", path);
        return *problem ? NULL : path;
    }
    if (!self)
        *problem = "/proc/self/exe cannot be read, which is needed to find the preload library; is /proc mounted here?";
    else
        *problem = formatted("lib%s is neither beside %s nor in ../lib/nccl-redirect; install nccl-redirect again",
                             file_name(rccl), self);
    return NULL;
}

/** Where a document is: installed, in a wheel, in the source tree; or, if it is in none of these, what to look for. */
const char *document_path(const char *name) {
    static const char *const places[] = {"/../share/doc/nccl-redirect/docs", "/../../share/doc/nccl-redirect/docs",
                                         "/../../docs", "/../docs"};
    char *self = realpath("/proc/self/exe", NULL), *folder = self ? ncr_parent(self, 1) : NULL;
    for (size_t i = 0; folder && i < sizeof places / sizeof *places; i++) {
        char *path = realpath(formatted("%s%s/%s", folder, places[i], name), NULL);
        if (path)
            return path;
    }
    return formatted("docs/%s (in share/doc/nccl-redirect)", name);
}

/**
 * What keeps an entry of LD_PRELOAD from working here, or NULL. The tool itself is started with it: the shim must be
 * mapped there, and the dynamic loader must not print anything.
 */
const char *preload_fault(const char *entry) {
    int ends[2], status = 0;
    char *said = (char *)formatted("%*s", 4096, "");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return formatted("no pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        setenv("LD_PRELOAD", entry, 1);
        execl("/proc/self/exe", "nccl-redirect", "is-preloaded", (char *)NULL);
        _exit(EXIT_CANNOT_RUN);
    }
    close(ends[1]);
    ssize_t length = 0, got;
    while ((got = read(ends[0], said + length, 4095 - (size_t)length)) > 0)
        length += got;
    close(ends[0]);
    said[length] = '\0';
    said[strcspn(said, "\n")] = '\0';
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return formatted("no process can be started: %s", strerror(errno));
    if (*said)
        return said;
    if (WIFSIGNALED(status))
        return formatted("a program preloaded with it ends by signal %d (%s)", WTERMSIG(status),
                         strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status) ? "the dynamic loader ignores it" : NULL;
}

/** Can 32-bit programs run here? */
bool narrow_programs_run(void) {
    return access(NARROW_LOADER, F_OK) == 0;
}

/**
 * How LD_PRELOAD names the shim. Where 32-bit programs run, by a path with $LIB if there is one, which leads those to a
 * library with nothing in it: their loader would print a line for each process.
 */
const char *preload_entry(const char *shim) {
    const char *entry = formatted("%s/$LIB/%s", ncr_parent(shim, 1), ncr_basename(shim));
    bool installed = strcmp(ncr_basename(ncr_parent(shim, 1)), "nccl-redirect") == 0;
    return installed && narrow_programs_run() && !preload_fault(entry) ? entry : shim;
}

/** The entries of a list in order. */
struct names preload_entries(const char *list) {
    struct names entries = {NULL, 0};
    for (const char *at = list ? list : ""; *at;) {
        at += strspn(at, ": ");
        size_t length = strcspn(at, ": ");
        if (length)
            names_add(&entries, formatted("%.*s", (int)length, at));
        at += length;
    }
    return entries;
}

static bool lists_asan(const struct names *entries, const char *asan) {
    for (unsigned i = 0; i < entries->count; i++)
        if (strcmp(ncr_basename(entries->list[i]), ncr_basename(asan)) == 0)
            return true;
    return false;
}

/**
 * The list with the shim in it exactly once and in its old place, or at the end; `first` (ASan's runtime, or NULL) is
 * put in front unless it is listed. The other entries keep their order.
 */
const char *preload_with(const char *list, const char *first, const char *shim) {
    struct names entries = preload_entries(list);
    struct ncr_text text = {0};
    bool placed = false;
    if (first && !lists_asan(&entries, first))
        ncr_text_add(&text, "%s", first);
    for (unsigned i = 0; i < entries.count; i++) {
        bool ours = is_shim(entries.list[i]);
        if (!ours || !placed)
            ncr_text_add(&text, "%s%s", text.length ? ":" : "", ours ? shim : entries.list[i]);
        placed |= ours;
    }
    if (!placed)
        ncr_text_add(&text, "%s%s", text.length ? ":" : "", shim);
    return ncr_text_get(&text);
}

/**
 * A real NCCL in the list, or NULL: wherever it is in the list, it is a second one, and before the shim it takes all
 * calls.
 */
const char *foreign_nccl_in(const char *list) {
    struct names entries = preload_entries(list);
    for (unsigned i = 0; i < entries.count; i++)
        if (ncr_is_nccl_name(entries.list[i]) && !is_shim(entries.list[i]))
            return entries.list[i];
    return NULL;
}
