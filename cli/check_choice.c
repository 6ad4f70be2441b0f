/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor: torch, both methods, the result of the configured choice, and what would be used if that failed. */
#include "cli.h"

#include <dirent.h>
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
                   "%s in %s: %s is not a library (an interrupted download?)", name, folder, libraries[i][0]);
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
               "NCCL_REDIRECT_TORCH=%s contains no torch", config->torch);
    else
        report(doctor, config->choice == NCR_CHOOSE_TORCH ? WARNING : FINE, "torch", NULL,
               "%s. Fine for a program that does not use torch",
               *decision->notes ? decision->notes : "no Python was found");
}

/* ---- the package of torch asks for a version of its NCCL ---- */

struct pin {
    const char *name, *version; /* "nvidia-nccl-cu13", "2.28.9" */
};

/* From a line of METADATA: Requires-Dist: nvidia-nccl-cu13==2.28.9; platform_system == "Linux". Older ones have (==2.28.9). */
static bool read_pin(const char *text, struct pin *pin) {
    static const char start[] = "\nRequires-Dist: nvidia-nccl-cu";
    const char *line = text ? strstr(text, start) : NULL, *name = line ? line + 1 + strlen("Requires-Dist: ") : NULL;
    const char *equals = name ? strstr(name, "==") : NULL;
    if (!equals || equals > name + strcspn(name, "\n;"))
        return false;
    pin->name = formatted("%.*s", (int)strcspn(name, " (=<>!~;\n"), name);
    pin->version = formatted("%.*s", (int)strspn(equals + 2, "0123456789."), equals + 2);
    return *pin->version != '\0';
}

static bool torch_pin(const char *folder, struct pin *pin) {
    const char *site = ncr_parent(folder, 2);
    DIR *packages = site ? opendir(site) : NULL;
    bool found = false;
    for (struct dirent *entry; packages && !found && (entry = readdir(packages));) {
        size_t length = strlen(entry->d_name);
        if (!ncr_begins(entry->d_name, "torch-") || length < 10 ||
            strcmp(entry->d_name + length - 10, ".dist-info") != 0)
            continue;
        char *text = ncr_file_text(formatted("%s/%s/METADATA", site, entry->d_name), 1 << 20);
        found = read_pin(text, pin);
        free(text);
    }
    if (packages)
        closedir(packages);
    return found;
}

static void check_pin(struct doctor *doctor, const struct decision *decision) {
    const struct considered *chosen = decision->chosen;
    struct pin pin = {NULL, NULL};
    int version;
    const char *end;
    if (!chosen || !decision->torch || chosen->candidate.method != NCR_BY_TORCH || !torch_pin(decision->torch, &pin) ||
        !ncr_version_parse(pin.version, &version, &end))
        return;
    if (version != chosen->version)
        report(doctor, WARNING, "torch",
               formatted("pip install %s==%s, if torch's own choice is what you want", pin.name, pin.version),
               "it was built with and asks for %s==%s; the file that it would load is NCCL %s: %s", pin.name,
               pin.version, version_text(chosen->version), chosen->candidate.path);
}

/* ---- methods ---- */

static const char *const method_words[][2] = {{"use torch", "torch"}, {"use system", "system"}};

static void report_refusals(struct doctor *doctor, const char *name, const struct decision *decision) {
    for (unsigned i = 0; i < decision->count; i++)
        if (decision->list[i].outcome == NCR_REFUSED &&
            !ncr_begins(ncr_basename(decision->list[i].candidate.path), "libtorch"))
            report(doctor, WARNING, name, "repair or remove it; the next one is used instead, if there is one",
                   "%s (from %s) %s", decision->list[i].candidate.path, decision->list[i].candidate.origin,
                   decision->list[i].why);
}

/*
 * As if this method alone were asked for. `other` is what the system has, since torch falls back to it unless it is
 * strict.
 */
static void check_method(struct doctor *doctor, bool torch, const struct decision *decision,
                         const struct decision *other) {
    const char *name = method_words[!torch][0];
    bool asked = doctor->config.choice == (torch ? NCR_CHOOSE_TORCH : NCR_CHOOSE_SYSTEM);
    report_refusals(doctor, name, decision);
    if (decision->chosen)
        report(doctor, FINE, name, NULL, "opens %s %s, %s", decision->chosen->rccl ? "RCCL" : "NCCL",
               version_text(decision->chosen->version), decision->chosen->candidate.path);
    else if (torch && other->chosen)
        report(doctor, asked ? WARNING : FINE, name, NULL,
               "finds no NCCL here: --use torch uses the system's with a warning, --use torch --strict is refused");
    else
        report(doctor, asked ? WARNING : FINE, name, NULL, "finds no NCCL here: --%s is refused", name);
}

static void decide_method(const struct doctor *doctor, enum ncr_choice choice, struct decision *decision) {
    struct ncr_config config = doctor->config;
    config.choice = choice;
    config.fallback = false;
    config.decided_by = (char *)formatted("NCCL_REDIRECT=%s", method_words[choice != NCR_CHOOSE_TORCH][1]);
    decide(decision, &config, &doctor->command.subject);
}

void check_methods(struct doctor *doctor) {
    struct decision torch, system;
    decide_method(doctor, NCR_CHOOSE_TORCH, &torch);
    decide_method(doctor, NCR_CHOOSE_SYSTEM, &system);
    check_torch(doctor, &torch);
    check_pin(doctor, &torch);
    check_method(doctor, true, &torch, &system);
    check_method(doctor, false, &system, &torch);
}

void check_choice(struct doctor *doctor) {
    const struct considered *chosen = doctor->decision.chosen;
    if (doctor->config.choice == NCR_CHOOSE_NOTHING)
        return; /* the variables have failed already */
    if (!chosen && doctor->config.choice == NCR_CHOOSE_AUTO)
        report(doctor, FAILURE, "choice", decision_fix(&doctor->decision),
               "auto finds no NCCL here; only one that the program brings itself can be used");
    else if (!chosen)
        report(doctor, FAILURE, "choice", decision_fix(&doctor->decision), "%s", decision_failure(&doctor->decision));
    else
        report(doctor, FINE, "choice", NULL, "%s %s would be active: %s (%s, from %s)", chosen->rccl ? "RCCL" : "NCCL",
               version_text(chosen->version), chosen->candidate.path, ncr_method_name(chosen->candidate.method),
               chosen->candidate.origin);
    if (chosen && doctor->config.choice == NCR_CHOOSE_TORCH && chosen->candidate.method != NCR_BY_TORCH)
        report(doctor, WARNING, "choice",
               "set NCCL_REDIRECT_TORCH to torch's folder, or NCCL_REDIRECT_FALLBACK=0 to make this "
               "an error",
               "%s asks for torch's NCCL but gets the system's, since torch's cannot be used",
               doctor->config.decided_by);
}

/* Does the preload library emulate this function on a library that lacks it? */
static bool is_emulated(const char *function) {
    static const char *const emulated[] = {
#define ALWAYS(name, adapter)
#define OLDER(name, version, adapter)
#define REFUSED(name, needs, adapter)
#define LACKED(name, needs, adapter) #name,
#include "adapters.def"
    };
    for (size_t i = 0; i < sizeof emulated / sizeof *emulated; i++)
        if (strcmp(function, emulated[i]) == 0)
            return true;
    return false;
}

void check_functions(struct doctor *doctor) {
    const struct names *needs = &doctor->torch_needs;
    const struct considered *chosen = doctor->decision.chosen;
    if (!chosen || !needs->count)
        return;
    struct names lacks = lacking(needs, chosen->candidate.path), emulated = {NULL, 0}, refused = {NULL, 0};
    for (unsigned i = 0; i < lacks.count; i++)
        names_add(is_emulated(lacks.list[i]) ? &emulated : &refused, lacks.list[i]);
    const char *version = version_text(chosen->version);
    bool all = doctor->request->all;
    if (refused.count)
        report(doctor, WARNING, "functions", "choose a newer NCCL if the job uses them (nccl-redirect list)",
               "torch can call %s, which NCCL %s lacks: such a call is refused with ncclInvalidUsage",
               functions_text(&refused, all), version);
    if (emulated.count)
        report(doctor, FINE, "functions", NULL,
               "NCCL %s lacks %s, which the preload library emulates by other functions of NCCL", version,
               functions_text(&emulated, all));
    if (!lacks.count)
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
            report(doctor, FINE, "fallback", NULL, "if that one cannot be opened, NCCL %s is used: %s",
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

/* What a process that lost the preload library gets by the dynamic loader's own search. */
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
            report(doctor, WARNING, "packages", nccl->fixes.list[j], "%s (%s): %s", nccl->path,
                   owner_text(&nccl->owners), nccl->remarks.list[j]);
    }
    if (chosen && other && strcmp(chosen->real_path, other->real_path) != 0 &&
        strcmp(other->origin, "LD_LIBRARY_PATH") == 0)
        report(doctor, WARNING, "second NCCL",
               "take its folder out of LD_LIBRARY_PATH, or choose it for all: --use system",
               "LD_LIBRARY_PATH leads to NCCL %s, %s: a program that finds its NCCL there and lost "
               "the preload library (sudo, srun --export=NAME) gets it, while the others have %s",
               other->version ? version_text(other->version) : "?", other->path, version_text(chosen->version));
    if (doctor->count == before && chosen)
        report(doctor, FINE, "second NCCL", NULL, "none that could be used instead of the chosen one");
}
