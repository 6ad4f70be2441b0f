/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SPANK plugin: srun, sbatch and salloc get --nccl=system|torch|program|auto|PATH|off and --nccl-trace. Slurm carries
 * its own options to every node, so they hold where the environment is not handed on (--export=NONE), and each step of a
 * job may have another one. In plugstack.conf:
 *
 *   optional /usr/lib/slurm/spank_nccl_redirect.so [folder=/usr/lib/nccl-redirect] [default=VALUE] [history=FOLDER]
 *
 * A value that cannot be right is an error where the job is submitted. On a node nothing is: a task whose preload is
 * missing runs as it would without the plugin, and one line says so.
 */
#include <slurm/spank.h>

#include <slurm/slurm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

SPANK_PLUGIN(nccl_redirect, 1);

#ifndef NCR_FOLDER
#define NCR_FOLDER "/usr/lib/nccl-redirect"
#endif
#define VALUES "use auto, torch, system, program, off or the absolute path of a libnccl.so"

/* What this process was told: by the administrator's plugstack.conf, then by options. Written while Slurm reads both, in
 * one thread, and read when a task starts. NULL is "not told". */
static const char *folder = NCR_FOLDER, *site_default, *history;
static char *choice, *trace;

static int is_word(const char *value) {
    static const char *const words[] = {"auto", "torch", "system", "program", "off"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(value, words[i]) == 0)
            return 1;
    return 0;
}

static int on_choice(int id, const char *value, int remote) {
    (void)id;
    if (!value || (!is_word(value) && *value != '/')) {
        slurm_error("--nccl=%s: unknown value; " VALUES, value ? value : "");
        return remote ? 0 : -1;
    }
    free(choice);
    choice = strdup(value);
    return 0;
}

static int on_trace(int id, const char *value, int remote) {
    (void)id;
    if (value && *value && *value != '/') {
        slurm_error("--nccl-trace=%s: not an absolute path; use --nccl-trace, or --nccl-trace=/folder", value);
        return remote ? 0 : -1;
    }
    free(trace);
    trace = strdup(value && *value ? value : "1");
    return 0;
}

static struct spank_option options[] = {
    {"nccl", "BACKEND", "the NCCL of the job or step: auto, torch, system, program, a path, or off (nccl-redirect)", 1,
     0, on_choice},
    {"nccl-trace", "FOLDER", "record the NCCL calls of the job or step [in FOLDER] (nccl-redirect)", 2, 0, on_trace},
};

static void read_setting(const char *setting) {
    if (strncmp(setting, "folder=/", 8) == 0)
        folder = setting + strlen("folder=");
    else if (strncmp(setting, "history=/", 9) == 0)
        history = setting + strlen("history=");
    else if (strncmp(setting, "default=", 8) == 0 && (is_word(setting + 8) || setting[8] == '/'))
        site_default = setting + strlen("default=");
    else
        slurm_error("nccl_redirect: plugstack.conf: %s ignored; use folder=/PATH, default=VALUE or history=/PATH",
                    setting);
}

/** Called in srun, sbatch, salloc and on each node. It never fails: an administrator's typing error must not stop jobs. */
int slurm_spank_init(spank_t spank, int count, char **settings) {
    if (spank_context() != S_CTX_LOCAL && spank_context() != S_CTX_ALLOCATOR && spank_context() != S_CTX_REMOTE)
        return 0;
    for (int i = 0; i < count; i++)
        read_setting(settings[i]);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (spank_option_register(spank, &options[i]) != ESPANK_SUCCESS)
            slurm_error("nccl_redirect: --%s cannot be registered (does another plugin define it?)", options[i].name);
    return 0;
}

/* ---- on the node, in each task ---- */

/* A variable of the task as a fresh string, or NULL. */
static char *task_variable(spank_t spank, const char *name) {
    for (int size = 1024; size <= 1 << 20; size *= 4) {
        char *text = malloc((size_t)size);
        spank_err_t error = text ? spank_getenv(spank, name, text, size) : ESPANK_ERROR;
        if (error == ESPANK_SUCCESS)
            return text;
        free(text);
        if (error != ESPANK_NOSPACE)
            return NULL;
    }
    return NULL;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int is_ours(const char *entry) {
    const char *base = base_name(entry);
    base += strncmp(base, "lib", 3) == 0 ? 3 : 0;
    return strcmp(base, "nccl_redirect.so") == 0 || strcmp(base, "rccl_redirect.so") == 0;
}

/* The preload's file: the one for RCCL where that is named, or where AMD's driver is and NVIDIA's is not. Or NULL. */
static char *find_preload(const char *backend) {
    const char *base = backend ? base_name(backend) : "";
    int amd = access("/dev/kfd", F_OK) == 0 && access("/dev/nvidiactl", F_OK) != 0;
    int rccl = strncmp(base, "librccl", 7) == 0 || (amd && strncmp(base, "libnccl", 7) != 0);
    const char *family = rccl ? "rccl" : "nccl";
    char *file = NULL, *link = NULL;
    if (asprintf(&file, "%s/%s_redirect.so", folder, family) < 0)
        return NULL;
    if (asprintf(&link, "%s/lib%s_redirect.so", folder, family) < 0 || access(link, R_OK) != 0) {
        free(link); /* a wheel's folder has no links */
        return file;
    }
    free(file);
    return link;
}

/* The list with the preload in it, once and last, or without it; what others put there keeps its order. */
static char *list_with(const char *list, const char *preload) {
    char *copy = strdup(list ? list : ""), *result = NULL, *rest = NULL;
    size_t size;
    FILE *out = copy ? open_memstream(&result, &size) : NULL;
    if (out) {
        const char *between = "";
        for (char *entry = strtok_r(copy, ": ", &rest); entry; entry = strtok_r(NULL, ": ", &rest))
            if (!is_ours(entry)) {
                fprintf(out, "%s%s", between, entry);
                between = ":";
            }
        if (preload && *preload)
            fprintf(out, "%s%s", between, preload);
        if (fclose(out) != 0) {
            free(result);
            result = NULL;
        }
    }
    free(copy);
    return result;
}

/* To the task's own stderr, once on each node. */
static void say_once(spank_t spank, const char *preload) {
    int task = 0;
    char host[256] = "this node";
    if (spank_get_item(spank, S_TASK_ID, &task) == ESPANK_SUCCESS && task != 0)
        return;
    gethostname(host, sizeof host - 1);
    fprintf(
        stderr,
        "nccl-redirect: warning: %s cannot be read on %s; tasks there run without it, with the NCCL that they find\n",
        preload, host);
}

static void set_preload(spank_t spank, const char *preload) {
    char *list = task_variable(spank, "LD_PRELOAD"), *with = list_with(list, preload);
    if (with && *with)
        spank_setenv(spank, "LD_PRELOAD", with, 1);
    else if (with && list)
        spank_unsetenv(spank, "LD_PRELOAD");
    free(with);
    free(list);
}

static void redirect(spank_t spank, const char *preload, const char *backend) {
    set_preload(spank, preload);
    if (backend)
        spank_setenv(spank, "NCCL_REDIRECT", backend, choice != NULL);
    if (trace)
        spank_setenv(spank, "NCCL_REDIRECT_TRACE", trace, 1);
    if (history)
        spank_setenv(spank, "NCCL_REDIRECT_HISTORY", history, 0);
}

/**
 * Called as the job's user, before the task is executed. An option decides, then NCCL_REDIRECT of the job, then the
 * administrator's default; without any of them, and without --nccl-trace, nothing is changed.
 */
int slurm_spank_task_init(spank_t spank, int count, char **settings) {
    (void)count, (void)settings;
    const char *backend = choice ? choice : site_default;
    if (choice && strcmp(choice, "off") == 0)
        set_preload(spank, NULL);
    if ((backend && strcmp(backend, "off") == 0) || (!backend && !trace))
        return 0;
    char *preload = find_preload(backend);
    if (preload && access(preload, R_OK) == 0)
        redirect(spank, preload, backend);
    else if (preload)
        say_once(spank, preload);
    free(preload);
    return 0;
}
