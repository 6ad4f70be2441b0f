/* Doctor: torch, both methods, what the configured choice comes to, and what would serve if that failed. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* "2.11.0+cu130" from the line `__version__ = '2.11.0+cu130'` of torch/version.py, or NULL. */
static const char *torch_version(const char *folder) {
    const char *text = ncr_file_text(formatted("%s/../version.py", folder), 8192);
    const char *line = text ? strstr(text, "\n__version__") : NULL;
    const char *start = line ? line + 1 + strcspn(line + 1, "'\"\n") : "";
    return *start && *start != '\n' ? formatted("%.*s", (int)strcspn(start + 1, "'\"\n"), start + 1) : NULL;
}

static const char *reach_of(const struct elf_info *info) {
    for (unsigned i = 0; i < info->needed.count; i++)
        if (ncr_is_nccl_name(info->needed.list[i]))
            return formatted("linked with %s", info->needed.list[i]);
    return info->exported.count ? "NCCL linked into it" : NULL;
}

static void check_torch_in(struct doctor *doctor, const char *folder) {
    static const char *const libraries[][2] = {{"libtorch_cuda.so", "CUDA"}, {"libtorch_hip.so", "ROCm"}};
    const char *version = torch_version(folder);
    const char *name = version ? formatted("torch %s", version) : "torch";
    for (int i = 0; i < 2; i++) {
        const char *path = formatted("%s/%s", folder, libraries[i][0]);
        struct elf_info info;
        if (!ncr_file_exists(path))
            continue;
        elf_info_read(path, ELF_SYMBOLS, &info);
        const char *reach = reach_of(&info);
        if (!info.is_elf)
            report(doctor, FAILURE, "torch", "install torch again",
                   "%s in %s: %s is no library (an interrupted download?)", name, folder, libraries[i][0]);
        else if (!reach)
            report(doctor, WARNING, "torch",
                   "a torch with NCCL is needed for backend=nccl: python -c 'import torch; "
                   "print(torch.distributed.is_nccl_available())'",
                   "%s in %s is built for %s without NCCL, as far as %s shows", name, folder, libraries[i][1],
                   libraries[i][0]);
        else
            report(doctor, FINE, "torch", NULL, "%s in %s: built for %s, %s", name, folder, libraries[i][1], reach);
        doctor->torch_needs = info.wanted;
        return;
    }
    report(doctor, WARNING, "torch", "install a torch for CUDA or ROCm, if this job should use GPUs",
           "%s in %s has no GPU library (a CPU build): it brings no NCCL and uses none", name, folder);
}

static void check_torch(struct doctor *doctor, const struct decision *decision) {
    const struct ncr_config *config = &doctor->config;
    if (decision->torch)
        check_torch_in(doctor, decision->torch);
    else if (config->torch)
        report(doctor, FAILURE, "torch", "correct or unset NCCL_REDIRECT_TORCH",
               "NCCL_REDIRECT_TORCH=%s holds no torch", config->torch);
    else
        report(doctor, config->choice == NCR_CHOOSE_TORCH ? WARNING : FINE, "torch", NULL,
               "none here: %s. Fine for a program that needs no torch",
               *decision->notes ? decision->notes : "no Python was found");
}

static void check_method(struct doctor *doctor, enum ncr_choice choice) {
    struct decision decision; /* as if this method alone were asked for */
    struct ncr_config config = doctor->config;
    const char *name = choice == NCR_CHOOSE_TORCH ? "use torch" : "use system";
    bool asked = doctor->config.choice == choice;
    config.choice = choice;
    config.fallback = false;
    config.decided_by = (char *)formatted("NCCL_REDIRECT=%s", name + 4);
    decide(&decision, &config, &doctor->command.subject);
    if (choice == NCR_CHOOSE_TORCH)
        check_torch(doctor, &decision);
    for (unsigned i = 0; i < decision.count; i++)
        if (decision.list[i].outcome == NCR_REFUSED &&
            strncmp(ncr_basename(decision.list[i].candidate.path), "libtorch", 8) != 0)
            report(doctor, WARNING, name, "repair or remove it; the next one is used instead, if there is one",
                   "%s (from %s) %s", decision.list[i].candidate.path, decision.list[i].candidate.origin,
                   decision.list[i].why);
    if (decision.chosen)
        report(doctor, FINE, name, NULL, "opens %s %s, %s", decision.chosen->rccl ? "RCCL" : "NCCL",
               version_text(decision.chosen->version), decision.chosen->candidate.path);
    else
        report(doctor, asked ? WARNING : FINE, name, NULL, "has nothing to open here; --%s would be refused", name);
}

void check_methods(struct doctor *doctor) {
    check_method(doctor, NCR_CHOOSE_TORCH);
    check_method(doctor, NCR_CHOOSE_SYSTEM);
}

void check_choice(struct doctor *doctor) {
    const struct considered *chosen = doctor->decision.chosen;
    if (doctor->config.choice == NCR_CHOOSE_NOTHING)
        return; /* the variables have failed already */
    if (!chosen && doctor->config.choice == NCR_CHOOSE_AUTO)
        report(doctor, FAILURE, "choice", decision_cure(&doctor->decision),
               "auto finds no NCCL here; only one that the program brings itself "
               "can serve");
    else if (!chosen)
        report(doctor, FAILURE, "choice", decision_cure(&doctor->decision), "%s", decision_failure(&doctor->decision));
    else
        report(doctor, FINE, "choice", NULL, "%s %s serves: %s (%s, from %s)", chosen->rccl ? "RCCL" : "NCCL",
               version_text(chosen->version), chosen->candidate.path, ncr_method_name(chosen->candidate.method),
               chosen->candidate.origin);
    if (chosen && doctor->config.choice == NCR_CHOOSE_TORCH && chosen->candidate.method != NCR_BY_TORCH)
        report(doctor, WARNING, "choice",
               "set NCCL_REDIRECT_TORCH to torch's folder, or NCCL_REDIRECT_FALLBACK=0 to make this "
               "an error",
               "%s asks for torch's NCCL, and gets the system's, since no NCCL of torch can be used",
               doctor->config.decided_by);
}

void check_functions(struct doctor *doctor) {
    const struct names *needs = &doctor->torch_needs;
    const struct considered *chosen = doctor->decision.chosen;
    if (!chosen || !needs->count)
        return;
    struct names lacks = lacking(needs, chosen->candidate.path);
    if (lacks.count)
        report(doctor, WARNING, "functions", "choose a newer NCCL if the job uses them (nccl-redirect list)",
               "torch can call %s, which NCCL %s lacks: a call that nccl-redirect cannot replace "
               "exactly returns ncclInvalidUsage, all "
               "others work",
               functions_text(&lacks, false), version_text(chosen->version));
    else
        report(doctor, FINE, "functions", NULL, "the chosen NCCL has all %u that torch is linked with", needs->count);
}

void check_fallback(struct doctor *doctor) {
    const struct decision *decision = &doctor->decision;
    const struct considered *next = NULL;
    for (unsigned i = 0; i < decision->count && !next; i++)
        if (decision->list[i].outcome == NCR_FIT && !decision->list[i].chosen)
            next = &decision->list[i];
    if (!decision->chosen)
        return;
    if (next) {
        struct trial trial;
        try_open(next->candidate.path, "ncclGetVersion", &trial);
        if (trial.opened)
            report(doctor, FINE, "fallback", NULL, "if that one cannot be opened, NCCL %s serves: %s",
                   version_text(trial.version ? ncr_version_from_nccl(trial.version) : next->version),
                   next->candidate.path);
        else
            report(doctor, WARNING, "fallback", "repair or remove it", "the next one, %s, does not open: %s",
                   next->candidate.path, trial.error);
    } else {
        report(doctor, FINE, "fallback", NULL,
               "none: if that one cannot be opened, NCCL calls return ncclSystemError%s",
               doctor->config.choice == NCR_CHOOSE_AUTO ? ", unless the program brings its own" : "");
    }
}

/* What a process that lost the preload gets by the dynamic loader's own search. */
static const struct nccl *without_preload(const struct catalogue *catalogue) {
    static const char *const origins[] = {"LD_LIBRARY_PATH", "/etc/ld.so.cache"};
    for (int i = 0; i < 2; i++)
        for (unsigned j = 0; j < catalogue->count; j++)
            if (strcmp(catalogue->list[j].origin, origins[i]) == 0 && strcmp(catalogue->list[j].method, "system") == 0)
                return &catalogue->list[j];
    return NULL;
}

void check_second(struct doctor *doctor) {
    const struct considered *chosen = doctor->decision.chosen;
    const struct nccl *other = without_preload(&doctor->catalogue);
    unsigned before = doctor->count;
    for (unsigned i = 0; i < doctor->catalogue.count; i++) {
        const struct nccl *nccl = &doctor->catalogue.list[i];
        for (unsigned j = 0; strcmp(nccl->method, "none") != 0 && j < nccl->remarks.count; j++)
            report(doctor, WARNING, "packages", nccl->cures.list[j], "%s (%s): %s", nccl->path,
                   owner_text(&nccl->owners), nccl->remarks.list[j]);
    }
    if (chosen && other && strcmp(chosen->real_path, other->real_path) != 0 &&
        strcmp(other->origin, "LD_LIBRARY_PATH") == 0)
        report(doctor, WARNING, "second NCCL",
               "take its folder out of LD_LIBRARY_PATH, or choose it for all: --use system",
               "LD_LIBRARY_PATH leads to NCCL %s, %s: a program that finds its NCCL there and lost "
               "the "
               "preload (sudo, srun --export=NAME) gets it, while the others have %s",
               other->version ? version_text(other->version) : "?", other->path, version_text(chosen->version));
    if (doctor->count == before && chosen)
        report(doctor, FINE, "second NCCL", NULL, "none in the way of the chosen one");
}
