/*
 * What runs on this host, by /proc: which processes have the shim, which NCCLs they map, and who lost the preload on
 * the way.
 */
#include "cli.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define MOST_MAPS (32u << 20)
#define MOST_ENVIRONMENT (4u << 20)

/* A variable of another process; its environment is texts, each ended by NUL, all of `size` bytes. */
static const char *variable(const char *environment, size_t size, const char *name) {
    size_t length = strlen(name);
    for (const char *at = environment; at < environment + size; at += strlen(at) + 1)
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return at + length + 1;
    return NULL;
}

static char *read_all(const char *path, size_t most, size_t *size) {
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(most + 1) : NULL;
    *size = text ? fread(text, 1, most, file) : 0;
    if (file)
        fclose(file);
    if (text)
        text[*size] = '\0';
    return text;
}

static void read_status(struct process *process) {
    char *text = ncr_file_text(make("/proc/%d/status", process->pid), 4096);
    const char *parent = text ? strstr(text, "\nPPid:") : NULL, *user = text ? strstr(text, "\nUid:") : NULL;
    process->parent = parent ? atoi(parent + 6) : 0;
    process->user = user ? (unsigned)strtoul(user + 5, NULL, 10) : 0;
    free(text);
}

static void read_command(struct process *process) {
    size_t size;
    char *text = read_all(make("/proc/%d/cmdline", process->pid), 4096, &size);
    for (size_t i = 0; i + 1 < size; i++)
        if ((unsigned char)text[i] < ' ')
            text[i] = ' ';
    process->command = size ? make("%s", text) : "";
    free(text);
}

static bool shim_name(const char *base) {
    base += strncmp(base, "lib", 3) == 0 ? 3 : 0; /* the link or the file, which may be "(deleted)" */
    return strncmp(base, "nccl_redirect.so", 16) == 0 || strncmp(base, "rccl_redirect.so", 16) == 0;
}

static bool shim_listed(const char *list) {
    struct names entries = preload_entries(list);
    for (unsigned i = 0; i < entries.count; i++)
        if (shim_name(ncr_basename(entries.list[i])))
            return true;
    return false;
}

static void read_environment(struct process *process, const char *path) {
    size_t size;
    char *text = read_all(path, MOST_ENVIRONMENT, &size);
    const char *redirect = text ? variable(text, size, "NCCL_REDIRECT") : NULL;
    process->listed = text && shim_listed(variable(text, size, "LD_PRELOAD"));
    process->rules = text && variable(text, size, "NCCL_REDIRECT_RULES");
    process->redirect = redirect ? make("%s", redirect) : NULL;
    free(text);
}

static void take_mapping(struct process *process, const char *path) {
    const char *base = ncr_basename(path);
    bool named = process->redirect && strcmp(process->redirect, path) == 0;
    if (shim_name(base))
        process->shim = process->shim ? process->shim : make("%s", path);
    else if ((ncr_is_nccl_name(base) || named) && !names_have(&process->nccls, path))
        names_add(&process->nccls, make("%s", path));
}

static bool read_maps(struct process *process) {
    size_t size;
    char *text = read_all(make("/proc/%d/maps", process->pid), MOST_MAPS, &size);
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n'), *path = memchr(line, '/', end ? (size_t)(end - line) : strlen(line));
        if (end)
            *end = '\0';
        if (path)
            take_mapping(process, path);
        line = end ? end + 1 : NULL;
    }
    free(text);
    return size > 0;
}

static void read_program(struct process *process) {
    struct elf_info info;
    elf_info_read(make("/proc/%d/exe", process->pid), ELF_BASICS, &info);
    process->deaf = info.is_elf && (!info.dynamic || !info.wide);
}

/** The version that a library file carries, each file read once. */
int nccl_version_of(const char *path) {
    static struct names paths;
    static int *versions;
    for (unsigned i = 0; versions && i < paths.count; i++)
        if (strcmp(paths.list[i], path) == 0)
            return versions[i];
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    int version = elf.refusal ? 0 : ncr_elf_nccl_version(&elf, NULL);
    ncr_elf_close(&elf);
    versions = grow(versions, paths.count, sizeof *versions);
    versions[paths.count] = version;
    names_add(&paths, make("%s", path));
    return version;
}

static struct process *process_of(const struct processes *processes, int pid) {
    for (unsigned i = 0; i < processes->count; i++)
        if (processes->list[i].pid == pid)
            return &processes->list[i];
    return NULL;
}

static const struct process *redirected_ancestor(const struct processes *processes, const struct process *process) {
    const struct process *at = process;
    for (int steps = 0; at && steps < 64; steps++) {
        at = process_of(processes, at->parent);
        if (at && at->shim)
            return at;
    }
    return NULL;
}

static void judge(const struct processes *processes, struct process *process) {
    const struct process *above = process->shim ? NULL : redirected_ancestor(processes, process);
    process->lost = above && !process->deaf;
    if (process->shim && process->nccls.count > 1 && !process->rules) {
        process->finding = make("maps %u NCCLs: one serves, whoever opened another by its own "
                                "handle uses that one, and the "
                                "first collective can fail or hang",
                                process->nccls.count);
        process->cure = "LD_DEBUG=files tells which library loads it; load it through libnccl.so.2";
    } else if (!process->shim && process->nccls.count && (above || process->listed)) {
        process->finding = make("uses NCCL without the preload, which %s has",
                                process->listed ? "its LD_PRELOAD lists, but it does not map (a later exec dropped it?)"
                                                : make("process %d above it", above->pid));
        process->cure = "pass LD_PRELOAD on: srun --export=ALL, mpirun -x LD_PRELOAD, no env -i, "
                        "no sudo without -E";
    } else if (process->lost) {
        process->finding = make("lost the preload that process %d above it has%s", above->pid,
                                process->listed ? "" : " (LD_PRELOAD is not in its environment)");
        process->cure = "if it will use NCCL: pass LD_PRELOAD on (srun --export=ALL, mpirun -x "
                        "LD_PRELOAD, no env -i)";
    }
}

/** Every process that can be read, and what is wrong with each. */
void processes_read(struct processes *processes) {
    *processes = (struct processes){NULL, 0, 0};
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        struct process process = {.pid = atoi(entry->d_name)};
        read_status(&process);
        read_command(&process);
        if (!*process.command) /* a thread of the kernel, or a process that has ended */
            continue;
        read_environment(&process, make("/proc/%d/environ", process.pid));
        process.readable = read_maps(&process);
        processes->hidden += !process.readable;
        if (process.readable)
            read_program(&process);
        if (process.nccls.count)
            process.version = nccl_version_of(make("/proc/%d/root%s", process.pid, process.nccls.list[0]));
        processes->list = grow(processes->list, processes->count, sizeof *processes->list);
        processes->list[processes->count++] = process;
    }
    if (folder)
        closedir(folder);
    for (unsigned i = 0; i < processes->count; i++)
        judge(processes, &processes->list[i]);
}

/** Has it to do with NCCL or with the shim? */
bool process_concerned(const struct process *process) {
    return process->shim || process->nccls.count || process->listed || process->finding;
}
