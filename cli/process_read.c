/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process, by /proc. Everything in it is under the control of its user, while the reader may be root: sizes are bounded,
 * a mapped file is opened through the kernel's link to the mapping itself (never by the name in the map, where the user may
 * have put another file since), and all of it happens in a child that can be killed (worker.c).
 */
#include "cli.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>

#define MOST_MAPS ((size_t)16 << 20)
#define MOST_ENVIRONMENT ((size_t)4 << 20)
#define MOST_COMMAND ((size_t)4096)

struct content {
    char *text; /* NUL-terminated, never NULL */
    size_t size;
    bool cut;
};

/* Room for `size` bytes and a NUL. */
static void make_room(struct content *content, size_t size) {
    content->text = realloc(content->text, size + 1);
    if (!content->text)
        _exit(EXIT_CANNOT_RUN); /* the parent marks the process */
}

static struct content read_file(int pid, const char *name, size_t most) {
    enum { FIRST_ROOM = 4096 };
    struct content content = {.text = NULL};
    size_t room = most < FIRST_ROOM ? most : FIRST_ROOM;
    int file = open(formatted("/proc/%d/%s", pid, name), O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;
    make_room(&content, room);
    while (file >= 0 && content.size < most &&
           (got = read(file, content.text + content.size, room - content.size)) > 0) {
        content.size += (size_t)got;
        if (content.size == room && room < most) {
            room = 2 * room < most ? 2 * room : most;
            make_room(&content, room);
        }
    }
    if (file >= 0)
        close(file);
    content.text[content.size] = '\0';
    content.cut = content.size == most;
    return content;
}

static void read_status(struct process *process) {
    struct content status = read_file(process->pid, "status", 4096);
    const char *parent = strstr(status.text, "\nPPid:"), *user = strstr(status.text, "\nUid:");
    process->parent = parent ? atoi(parent + 6) : 0;
    process->user = user ? (unsigned)strtoul(user + 5, NULL, 10) : 0;
    free(status.text);
}

/* Field 22 of stat is the start, in ticks since boot; the fields are counted behind the name, which can hold anything. */
static void read_age(struct process *process) {
    struct content stat = read_file(process->pid, "stat", 4096);
    char *uptime = ncr_file_text("/proc/uptime", 64);
    const char *at = strrchr(stat.text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    long ticks = sysconf(_SC_CLK_TCK);
    process->age = at && uptime && ticks > 0 ? atoll(uptime) - atoll(at) / ticks : -1;
    free(uptime);
    free(stat.text);
}

static void read_command(struct process *process) {
    struct content command = read_file(process->pid, "cmdline", MOST_COMMAND);
    for (size_t i = 0; i + 1 < command.size; i++)
        if (!command.text[i])
            command.text[i] = ' ';
    process->command = worker_text(command.text);
    process->running = command.size > 0; /* else a thread of the kernel, or a process that has ended */
    free(command.text);
}

/* ---- the environment ---- */

/* The value of a variable; the environment is a sequence of strings, each ended by NUL. */
static const char *variable(const struct content *environment, const char *name) {
    size_t length = strlen(name);
    for (const char *at = environment->text; at < environment->text + environment->size; at += strlen(at) + 1)
        if (strncmp(at, name, length) == 0 && at[length] == '=')
            return at + length + 1;
    return NULL;
}

static const char *listed_shim(const char *list) {
    struct names entries = preload_entries(list);
    for (unsigned i = 0; i < entries.count; i++)
        if (is_shim_name(ncr_basename(entries.list[i])))
            return entries.list[i];
    return NULL;
}

/* In the root folder of the process, which may be a container's; a name with $LIB counts by the folder before it. */
static bool is_there(int pid, const char *entry) {
    struct stat status;
    const char *dollar = strstr(entry, "/$");
    const char *path = formatted("/proc/%d/root%.*s", pid, dollar ? (int)(dollar - entry) : (int)strlen(entry), entry);
    return syscall(SYS_newfstatat, AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void read_environment(struct process *process) {
    static const char *const ranks[] = {"RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"};
    struct content environment = read_file(process->pid, "environ", MOST_ENVIRONMENT);
    const char *listed = listed_shim(variable(&environment, "LD_PRELOAD"));
    process->listed = worker_text(listed);
    process->listed_is_there = listed && is_there(process->pid, listed);
    process->redirect = worker_text(variable(&environment, "NCCL_REDIRECT"));
    process->rules = variable(&environment, "NCCL_REDIRECT_RULES") != NULL;
    process->partly |= environment.cut;
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
        process->rank |= variable(&environment, ranks[i]) != NULL;
    free(environment.text);
}

/* ---- what it maps ---- */

struct mapping {
    char *range; /* "START-END" */
    unsigned long long inode;
    char *path; /* NULL for memory without a file */
};

/* "START-END PERMISSIONS OFFSET DEVICE INODE    PATH": cut at the line's blanks. */
static struct mapping parse_mapping(char *line) {
    struct mapping mapping = {.range = line};
    char *fields[5] = {line};
    for (int i = 1; i < 5; i++) {
        char *blank = fields[i - 1] ? strchr(fields[i - 1], ' ') : NULL;
        fields[i] = blank ? blank + 1 : NULL;
    }
    char *behind = fields[4] ? strchr(fields[4], '/') : NULL;
    mapping.inode = fields[4] ? strtoull(fields[4], NULL, 10) : 0;
    mapping.path = behind;
    line[strcspn(line, " ")] = '\0';
    return mapping;
}

/* A path that leads to the very file that is mapped, or NULL with `problem`. Only a privileged reader may use the
 * kernel's own link; for the process's user its name is good enough, as long as it still is that file. */
static const char *path_of_mapped(int pid, const struct mapping *mapping, const char **problem) {
    struct stat status;
    const char *link = formatted("/proc/%d/map_files/%s", pid, mapping->range);
    int file = ncr_file_open(link, &status);
    const char *path = link;
    if (file < 0) {
        path = formatted("/proc/%d/root%s", pid, mapping->path);
        file = ncr_file_open(path, &status);
        if (file >= 0 && status.st_ino != mapping->inode)
            *problem = "its path leads to another file now";
    }
    if (file < 0)
        *problem = "cannot be opened";
    else if (!S_ISREG(status.st_mode))
        *problem = "is not a regular file";
    if (file >= 0)
        close(file);
    return *problem ? NULL : path;
}

static void read_nccl(struct process *process, const struct mapping *mapping, struct mapped_nccl *nccl) {
    struct elf_info info;
    size_t length = strlen(mapping->path);
    *nccl = (struct mapped_nccl){.path = worker_text(mapping->path),
                                 .deleted = length > 10 && strcmp(mapping->path + length - 10, " (deleted)") == 0};
    const char *path = path_of_mapped(process->pid, mapping, &nccl->problem);
    if (!path)
        return;
    nccl->version = nccl_version_of(path);
    elf_info_read(path, ELF_BASICS, &info);
    nccl->build_id = *info.build_id ? worker_text(info.build_id) : NULL;
}

struct seen {
    unsigned long long inodes[MOST_MAPPED];
};

static void take_mapping(struct process *process, const struct mapping *mapping, struct seen *seen) {
    const char *base = ncr_basename(mapping->path);
    bool named = process->redirect && strcmp(process->redirect, mapping->path) == 0;
    if (is_shim_name(base)) {
        process->shim = process->shim ? process->shim : worker_text(mapping->path);
        return;
    }
    if (!named && !ncr_is_nccl_name(base))
        return;
    for (unsigned i = 0; i < process->nccl_count; i++)
        if (seen->inodes[i] == mapping->inode && strcmp(process->nccls[i].path, mapping->path) == 0)
            return;
    if (process->nccl_count == MOST_MAPPED)
        return;
    seen->inodes[process->nccl_count] = mapping->inode;
    read_nccl(process, mapping, &process->nccls[process->nccl_count++]);
}

static void read_maps(struct process *process) {
    struct content maps = read_file(process->pid, "maps", MOST_MAPS);
    struct seen seen = {{0}};
    for (char *line = maps.text; *line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        struct mapping mapping = parse_mapping(line);
        if (mapping.path)
            take_mapping(process, &mapping, &seen);
        if (!end)
            break;
        line = end + 1;
    }
    process->readable = maps.size > 0;
    process->partly |= maps.cut;
    free(maps.text);
}

/* ---- whether a preload has an effect ---- */

/* The kernel tells the C library of a set-uid (or otherwise privileged) program by AT_SECURE. */
static bool is_secure(int pid) {
    struct content content = read_file(pid, "auxv", 4096);
    bool secure = false;
    Elf64_auxv_t entry;
    for (size_t at = 0; at + sizeof entry <= content.size; at += sizeof entry) {
        memcpy(&entry, content.text + at, sizeof entry);
        secure |= entry.a_type == AT_SECURE && entry.a_un.a_val;
    }
    free(content.text);
    return secure;
}

/* A program that calls nccl_redirect_use() and the like has several NCCLs on purpose. */
static bool uses_our_calls(int pid) {
    struct ncr_elf elf;
    bool uses = false;
    ncr_elf_open_any(&elf, formatted("/proc/%d/exe", pid));
    if (ncr_elf_load_symbols(&elf))
        for (size_t i = 0; i < elf.symbol_count && !uses; i++) {
            const Elf64_Sym *symbol = (const Elf64_Sym *)elf.symbols + i;
            uses = symbol->st_shndx == SHN_UNDEF && symbol->st_name < elf.strings_size &&
                   ncr_begins(elf.strings + symbol->st_name, "nccl_redirect_");
        }
    ncr_elf_close(&elf);
    return uses;
}

static void read_program(struct process *process) {
    struct elf_info info;
    elf_info_read(formatted("/proc/%d/exe", process->pid), ELF_BASICS, &info);
    process->ignores_preload = info.is_elf && (!info.dynamic || !info.wide || is_secure(process->pid));
}

/** Read one process, in a child of worker_run(). What cannot be read stays empty. */
void process_read(struct process *process, int pid) {
    *process = (struct process){.pid = pid, .age = -1};
    read_status(process);
    read_command(process);
    if (!process->running)
        return;
    read_age(process);
    read_environment(process);
    read_maps(process);
    if (process->readable)
        read_program(process);
    if (process->nccl_count > 1 && process->shim)
        process->rules |= uses_our_calls(pid);
}
