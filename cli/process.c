/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs on this host: which processes have the preload library, which NCCLs they use, and which lost the preload
 * library.
 */
#include "cli.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PROCESSES 65536

/** The version that a library file carries. */
int nccl_version_of(const char *path) {
    struct ncr_elf elf;
    ncr_elf_open(&elf, path);
    int version = elf.refusal ? 0 : ncr_elf_nccl_version(&elf, NULL);
    ncr_elf_close(&elf);
    return version;
}

const struct process *process_of(const struct processes *processes, int pid) {
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

/* ---- findings ---- */

static const char *nccl_text(const struct mapped_nccl *nccl) {
    return formatted("%s (%s)", nccl->version ? version_text(nccl->version) : "version unknown", nccl->path);
}

static void find_several(struct process *process) {
    struct ncr_text list = {0};
    for (unsigned i = 0; i < process->nccl_count; i++)
        ncr_text_add(&list, "%s%s", i ? ", " : "", nccl_text(&process->nccls[i]));
    process->finding =
        formatted("uses %u NCCLs: %s. One is active; code that calls another copy through its own handle may "
                  "fail or hang at the first collective",
                  process->nccl_count, ncr_text_get(&list));
    process->fix = process->shim ? "LD_DEBUG=files shows which library loads it; load it as libnccl.so.2"
                                 : "start it with nccl-redirect run: one NCCL for the whole process";
}

/* LD_PRELOAD names it, and it is not mapped. */
static void explain_listed(struct process *process, const char *what) {
    if (!process->listed_is_there) {
        process->finding =
            formatted("%s: its LD_PRELOAD names %s, which does not exist in its root folder", what, process->listed);
        process->fix =
            "mount that folder into the container or chroot at the same path (nccl-redirect env --format docker)";
    } else {
        process->finding =
            formatted("%s: its LD_PRELOAD names %s, which the dynamic loader did not load", what, process->listed);
        process->fix =
            "its standard error says why (ld.so: object ... cannot be preloaded); check that its user can read the "
            "file, and that its file system is not mounted noexec";
    }
}

/* The first word of its command line; some write what they do behind a colon. */
static const char *program_of(const struct process *process) {
    return formatted("%.*s", (int)strcspn(process->command, " :"), process->command);
}

/* The process between it and the one above whose program is known to drop LD_PRELOAD, or NULL. */
static const struct process *dropper(const struct processes *processes, const struct process *process,
                                     const struct process *above, struct loss *loss) {
    for (const struct process *at = process; at; at = process_of(processes, at->parent)) {
        const char *name = ncr_basename(program_of(at));
        if (loss_of_process(name, loss))
            return at;
        if (at == above)
            break;
    }
    return NULL;
}

static void explain_lost(const struct processes *processes, struct process *process, const struct process *above,
                         const char *what) {
    struct loss loss;
    const struct process *by = dropper(processes, process, above, &loss);
    process->finding = formatted("%s, which process %d above it has; LD_PRELOAD is not in its environment%s", what,
                                 above->pid, by ? formatted(": %s (process %d)", loss.text, by->pid) : "");
    process->fix =
        by ? loss.fix
           : "pass LD_PRELOAD on (srun --export=ALL, mpirun -x LD_PRELOAD, no env -i), or put nccl-redirect run "
             "behind what drops it (sudo nccl-redirect run -- CMD); for Python, nccl-redirect python --enable makes "
             "NCCL_REDIRECT alone enough";
}

/* Workers often inherit the variables without LD_PRELOAD. */
static void explain_unread(struct process *process) {
    const char *program = program_of(process);
    process->finding =
        formatted("uses NCCL without the preload library, although NCCL_REDIRECT=%s is in its environment: "
                  "the variable arrived, LD_PRELOAD did not",
                  process->redirect);
    process->fix = is_python(program)
                       ? formatted("nccl-redirect python --enable %s (NCCL_REDIRECT alone is then enough there), or "
                                   "pass LD_PRELOAD on",
                                   shell_word(*program == '/' ? program : "PYTHON"))
                       : "pass LD_PRELOAD on, or start it with nccl-redirect run -- CMD";
}

static void diagnose_process(const struct processes *processes, struct process *process) {
    const struct process *above = process->shim ? NULL : redirected_ancestor(processes, process);
    const char *what = process->nccl_count ? "uses NCCL without the preload library" : "has lost the preload library";
    process->lost = above && !process->ignores_preload;
    if (process->nccl_count > 1 && !process->rules)
        find_several(process);
    else if (process->shim || process->ignores_preload)
        return;
    else if (process->listed && (process->nccl_count || above))
        explain_listed(process, what);
    else if (above && process->readable)
        explain_lost(processes, process, above, what);
    else if (process->redirect && *process->redirect && process->nccl_count && process->readable)
        explain_unread(process);
}

static bool same_nccl(const struct mapped_nccl *a, const struct mapped_nccl *b) {
    return a->build_id && b->build_id ? strcmp(a->build_id, b->build_id) == 0 : a->version == b->version;
}

/* Ranks of one launcher: they have one parent, and it has the preload library, or each of them a rank's number. */
static bool are_ranks(const struct processes *processes, const struct process *a, const struct process *b) {
    if (a->parent != b->parent || a->parent <= 1)
        return false;
    const struct process *launcher = process_of(processes, a->parent);
    return (a->rank && b->rank) || (launcher && launcher->shim && a->shim && b->shim);
}

static void compare_ranks(const struct processes *processes, struct process *process) {
    if (process->nccl_count != 1 || process->rules || process->finding)
        return;
    for (const struct process *first = processes->list; first < process; first++)
        if (first->nccl_count == 1 && are_ranks(processes, first, process) &&
            !same_nccl(&first->nccls[0], &process->nccls[0])) {
            process->finding =
                formatted("ranks of one launcher (process %d) use different NCCLs: %d uses %s, this one uses %s; "
                          "their first collective fails or hangs",
                          process->parent, first->pid, nccl_text(&first->nccls[0]), nccl_text(&process->nccls[0]));
            process->fix = "give all ranks the same environment";
            return;
        }
}

static void add_notes(struct process *process) {
    for (unsigned i = 0; i < process->nccl_count && !process->note; i++)
        if (process->nccls[i].deleted)
            process->note = "its NCCL was replaced or removed since it started; a restart gets what is there now";
        else if (process->nccls[i].problem)
            process->note = formatted("the mapped file %s: its version is not known", process->nccls[i].problem);
    if (process->unresponsive)
        process->note =
            formatted("it could not be read within %d s (does its file system answer?)", WORKER_STALL_MS / 1000);
    else if (process->partly)
        process->note = "its memory map or environment is too large and was read in part";
}

/* ---- reading all ---- */

struct reading {
    struct process *list;
    int *pids;
};

static void read_item(void *arg, unsigned item) {
    struct reading *reading = arg;
    process_read(&reading->list[item], reading->pids[item]);
}

/* The worker may have been killed while writing, so what it wrote last may be incomplete. */
static void mark_stuck(void *arg, unsigned item) {
    struct reading *reading = arg;
    reading->list[item] = (struct process){
        .pid = reading->pids[item], .age = -1, .running = true, .unresponsive = true, .command = "(not readable)"};
}

static int by_number(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

static unsigned list_pids(int **pids) {
    unsigned count = 0;
    DIR *folder = opendir("/proc");
    *pids = NULL;
    for (struct dirent *entry; folder && count < MOST_PROCESSES && (entry = readdir(folder));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        *pids = list_grow(*pids, count, sizeof **pids);
        (*pids)[count++] = atoi(entry->d_name);
    }
    if (folder)
        closedir(folder);
    if (count > 0)
        qsort(*pids, count, sizeof **pids, by_number);
    return count;
}

/** Every process that can be read, and what is wrong with each. */
void processes_read(struct processes *processes) {
    struct reading reading;
    unsigned count = list_pids(&reading.pids);
    reading.list = count ? worker_memory(count * sizeof *reading.list) : NULL;
    unsigned done = reading.list ? worker_run(count, read_item, mark_stuck, &reading) : 0;
    *processes = (struct processes){.list = reading.list, .unread = count - done};
    for (unsigned i = 0; i < done; i++) {
        if (!reading.list[i].running)
            continue;
        processes->list[processes->count++] = reading.list[i];
        processes->hidden += !reading.list[i].readable;
    }
    for (unsigned i = 0; i < processes->count; i++) {
        diagnose_process(processes, &processes->list[i]);
        compare_ranks(processes, &processes->list[i]);
        add_notes(&processes->list[i]);
    }
}

/** Does it use NCCL or the preload library? */
bool process_concerned(const struct process *process) {
    return process->shim || process->nccl_count || process->listed || process->finding || process->unresponsive;
}
