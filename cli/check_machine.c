/* Doctor: the GPU driver, a net plugin, and the processes that run already. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const struct nccl *entry_of(const struct doctor *doctor) {
    const struct considered *chosen = doctor->decision.chosen;
    for (unsigned i = 0; chosen && chosen->real_path && i < doctor->catalogue.count; i++)
        if (strcmp(doctor->catalogue.list[i].real_path, chosen->real_path) == 0)
            return &doctor->catalogue.list[i];
    return NULL;
}

void check_driver(struct doctor *doctor) {
    const struct nccl *nccl = entry_of(doctor);
    struct trial trial;
    if (doctor->decision.chosen && doctor->decision.chosen->rccl) {
        bool there = ncr_file_exists("/dev/kfd");
        report(doctor, there ? FINE : WARNING, "GPU driver",
               there ? NULL : "start the job on a host (or in a container) with the GPU devices", "/dev/kfd is %s",
               there ? "there" : "not there: RCCL finds no GPU");
        return;
    }
    try_open("libcuda.so.1", "cuDriverGetVersion", &trial);
    const char *cuda = nccl ? nccl->cuda : NULL;
    int major = cuda ? atoi(cuda) : 0;
    if (!trial.opened)
        report(doctor, WARNING, "GPU driver",
               "fine on a login node; in a container, start it with the GPUs (--gpus all)",
               "libcuda.so.1 cannot be opened: no NVIDIA driver here, NCCL finds no GPU");
    else if (trial.version && major > trial.version / 1000)
        report(doctor, FAILURE, "GPU driver",
               formatted("use an NCCL for CUDA %d, or a newer driver", trial.version / 1000),
               "the driver is for CUDA up to %d.%d, the chosen NCCL is built for CUDA %s", trial.version / 1000,
               trial.version % 1000 / 10, cuda);
    else if (!trial.version)
        report(doctor, WARNING, "GPU driver", "nvidia-smi tells more",
               "libcuda.so.1 is there and does not answer: no GPU is visible");
    else
        report(doctor, FINE, "GPU driver", NULL, "CUDA up to %d.%d%s", trial.version / 1000, trial.version % 1000 / 10,
               cuda ? formatted("; the chosen NCCL is built for CUDA %s", cuda) : "");
}

struct plugin {
    const char *name;
    const char *path;
};

static bool try_plugin_folder(void *arg, const char *origin, const char *folder) {
    struct plugin *plugin = arg;
    const char *path = formatted("%s/%s", folder, plugin->name);
    (void)origin;
    if (ncr_file_exists(path))
        plugin->path = path;
    return plugin->path != NULL;
}

static bool take_plugin(void *arg, const char *origin, const char *path) {
    (void)origin;
    ((struct plugin *)arg)->path = formatted("%s", path);
    return true;
}

/* As NCCL looks for it: NCCL_NET_PLUGIN is a file, or the end of libnccl-net-NAME.so; without it, libnccl-net.so. */
static struct plugin find_plugin(const char *wanted) {
    const char *const names[] = {wanted ? formatted("libnccl-net-%s.so", wanted) : "libnccl-net.so", wanted};
    struct plugin plugin = {names[0], NULL};
    for (int i = 0; i < 2 && names[i] && !plugin.path; i++) {
        plugin.name = names[i];
        if (strchr(plugin.name, '/'))
            plugin.path = ncr_file_exists(plugin.name) ? plugin.name : NULL;
        else if (!ncr_split_path(ncr_environment("LD_LIBRARY_PATH"), "", try_plugin_folder, &plugin))
            ncr_ldcache(plugin.name, take_plugin, &plugin);
    }
    return plugin;
}

static const char *shared_interface(const struct names *offered, const struct names *known) {
    for (unsigned i = 0; i < offered->count; i++)
        if (names_have(known, offered->list[i]))
            return offered->list[i];
    return NULL;
}

static const char *list_text(const struct names *names) {
    struct ncr_text text = {0};
    for (unsigned i = 0; i < names->count; i++)
        ncr_text_add(&text, "%s%s", i ? ", " : "", names->list[i] + strlen("ncclNetPlugin_"));
    return ncr_text_get(&text);
}

void check_plugin(struct doctor *doctor) {
    const char *wanted = ncr_environment("NCCL_NET_PLUGIN");
    const struct considered *chosen = doctor->decision.chosen;
    struct elf_info plugin_info, nccl_info;
    if (wanted && strcmp(wanted, "none") == 0) {
        report(doctor, FINE, "net plugin", NULL, "NCCL_NET_PLUGIN=none: only the networks inside NCCL are used");
        return;
    }
    struct plugin plugin = find_plugin(wanted);
    if (!plugin.path && wanted) {
        report(doctor, WARNING, "net plugin", "put its folder into LD_LIBRARY_PATH, or unset NCCL_NET_PLUGIN",
               "NCCL_NET_PLUGIN=%s is not found (as libnccl-net-%s.so): NCCL uses its own "
               "networks, which can be slower",
               wanted, wanted);
        return;
    }
    if (!plugin.path) {
        report(doctor, FINE, "net plugin", NULL, "none installed: the networks inside NCCL are used");
        return;
    }
    elf_info_read(plugin.path, ELF_SYMBOLS, &plugin_info);
    elf_info_read(chosen ? chosen->candidate.path : "", ELF_TEXTS, &nccl_info);
    const char *fits = shared_interface(&plugin_info.plugins, &nccl_info.plugins);
    if (!chosen || !plugin_info.plugins.count || !nccl_info.plugins.count)
        report(doctor, FINE, "net plugin", NULL, "%s: its interface cannot be compared", plugin.path);
    else if (fits)
        report(doctor, FINE, "net plugin", NULL, "%s fits the chosen NCCL (%s)", plugin.path, fits);
    else
        report(doctor, WARNING, "net plugin",
               "install the plugin's build for this NCCL, or choose an NCCL that it was built for",
               "%s offers interface %s, the chosen NCCL %s knows %s: it is ignored, and the "
               "network can be slow",
               plugin.path, list_text(&plugin_info.plugins), version_text(chosen->version),
               list_text(&nccl_info.plugins));
}

static const char *counts_text(const struct processes *processes, unsigned served) {
    struct ncr_text text = {0};
    if (served)
        ncr_text_add(&text, "%u running now use NCCL through the preload library, without a conflict", served);
    else
        ncr_text_add(&text, "none running now uses NCCL through the preload library");
    if (processes->hidden)
        ncr_text_add(&text, " (%u of other users cannot be read; root can)", processes->hidden);
    if (processes->unread)
        ncr_text_add(&text, " (stopped after %d s, %u not read)", WORKER_TIME_MS / 1000, processes->unread);
    return ncr_text_get(&text);
}

void check_processes(struct doctor *doctor) {
    struct processes processes;
    unsigned served = 0, before = doctor->count;
    processes_read(&processes);
    for (unsigned i = 0; i < processes.count; i++) {
        const struct process *process = &processes.list[i];
        served += process->shim && process->nccl_count;
        if (process->finding)
            report(doctor, process->nccl_count ? FAILURE : WARNING, "processes", process->fix, "process %d (%s) %s",
                   process->pid, start_of(60, process->command), process->finding);
    }
    if (doctor->count == before)
        report(doctor, FINE, "processes", NULL, "%s", counts_text(&processes, served));
}
