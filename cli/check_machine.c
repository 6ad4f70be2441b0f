/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor: the GPU driver, and the processes that are already running. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
               there ? NULL : "start the job on a host (or in a container) with the GPU devices", "/dev/kfd %s",
               there ? "exists" : "does not exist: RCCL finds no GPU");
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
               "libcuda.so.1 is installed but does not answer: no GPU is visible");
    else
        report(doctor, FINE, "GPU driver", NULL, "CUDA up to %d.%d%s", trial.version / 1000, trial.version % 1000 / 10,
               cuda ? formatted("; the chosen NCCL is built for CUDA %s", cuda) : "");
}

static const char *counts_text(const struct processes *processes, unsigned active) {
    struct ncr_text text = {0};
    if (active)
        ncr_text_add(&text, "%u running use NCCL through the preload library, without conflicts", active);
    else
        ncr_text_add(&text, "no running process uses NCCL through the preload library");
    if (processes->hidden)
        ncr_text_add(&text, " (%u cannot be read%s)", processes->hidden, geteuid() == 0 ? "" : "; root can");
    if (processes->unread)
        ncr_text_add(&text, " (stopped after %d s, %u not read)", WORKER_TIME_MS / 1000, processes->unread);
    return ncr_text_get(&text);
}

void check_processes(struct doctor *doctor) {
    struct processes processes;
    unsigned active = 0, before = doctor->count;
    processes_read(&processes);
    for (unsigned i = 0; i < processes.count; i++) {
        const struct process *process = &processes.list[i];
        active += process->shim && process->nccl_count;
        if (process->finding)
            report(doctor, process->nccl_count ? FAILURE : WARNING, "processes", process->fix, "process %d (%s) %s",
                   process->pid, start_of(60, process->command), process->finding);
    }
    if (doctor->count == before)
        report(doctor, FINE, "processes", NULL, "%s", counts_text(&processes, active));
}
