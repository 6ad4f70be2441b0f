/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doctor: the plugins of NCCL. Each is opened in a child as NCCL would open it, since NCCL passes over a plugin that
 * cannot load without a message at its usual log level: the job runs, slowly.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const struct kind {
    const char *name;     /* as in libnccl-NAME.so, and in what is reported */
    const char *variable; /* a file, or NAME of libnccl-KIND-NAME.so */
    const char *symbol;   /* what a plugin exports, without the number of its interface */
    bool list;            /* the variable may hold several, separated by commas */
    const char *without;  /* what happens without one */
} kinds[] = {
    {"net", "NCCL_NET_PLUGIN", "ncclNetPlugin_v", true, "NCCL's built-in networks are used"},
    {"tuner", "NCCL_TUNER_PLUGIN", "ncclTunerPlugin_v", false, "NCCL's built-in tuning is used"},
    {"profiler", "NCCL_PROFILER_PLUGIN", "ncclProfiler_v", false, "nothing is profiled"},
    {"env", "NCCL_ENV_PLUGIN", "ncclEnvPlugin_v", false, "only the environment is read"},
    {"gin", "NCCL_GIN_PLUGIN", "ncclGinPlugin_v", true, "NCCL's built-in networks are used"},
    {"rma", "NCCL_RMA_PLUGIN", "ncclRmaPlugin_v", true, "NCCL's built-in networks are used"},
};

/** The interface that a symbol or a string names, such as ncclNetPlugin_v8? */
bool is_plugin_interface(const char *symbol) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t length = strlen(kinds[i].symbol);
        if (strncmp(symbol, kinds[i].symbol, length) == 0)
            return symbol[length] && !symbol[length + strspn(symbol + length, "0123456789")];
    }
    return false;
}

/* ---- interfaces ---- */

/* "v8, v9" of this kind among the interfaces. */
static const char *interfaces_text(const struct kind *kind, const struct names *names) {
    struct ncr_text text = {0};
    size_t length = strlen(kind->symbol);
    for (unsigned i = 0; i < names->count; i++)
        if (strncmp(names->list[i], kind->symbol, length) == 0)
            ncr_text_add(&text, "%sv%s", text.length ? ", " : "", names->list[i] + length);
    return ncr_text_get(&text);
}

static const char *shared_interface(const struct kind *kind, const struct names *offered, const struct names *known) {
    for (unsigned i = 0; i < offered->count; i++)
        if (ncr_begins(offered->list[i], kind->symbol) && names_have(known, offered->list[i]))
            return offered->list[i];
    return NULL;
}

/* ---- finding and opening ---- */

struct plugin {
    const char *name; /* what dlopen gets */
    const char *path; /* the file that this means, or NULL */
    struct trial trial;
};

static bool try_plugin_folder(void *arg, const char *origin, const char *folder) {
    struct plugin *plugin = arg;
    const char *path = formatted("%s/%s", folder, plugin->name);
    (void)origin;
    if (ncr_file_exists(path))
        plugin->path = path;
    return plugin->path != NULL;
}

static bool take_cached(void *arg, const char *origin, const char *path) {
    (void)origin;
    ((struct plugin *)arg)->path = formatted("%s", path);
    return true;
}

/* Which file a name means; only for the report, and to read the file. */
static void find_plugin(struct plugin *plugin) {
    if (strchr(plugin->name, '/'))
        plugin->path = ncr_file_exists(plugin->name) ? plugin->name : NULL;
    else if (!ncr_split_path(ncr_environment("LD_LIBRARY_PATH"), "", try_plugin_folder, plugin) &&
             !ncr_ldcache(plugin->name, take_cached, plugin))
        ncr_split_path("/lib64:/usr/lib64:/lib:/usr/lib", "", try_plugin_folder, plugin);
}

/*
 * NCCL tries the value as it is, then as a part of a file name; the loader's message about the first file that exists
 * counts.
 */
static struct plugin open_plugin(const struct kind *kind, const char *wanted) {
    const char *const names[] = {wanted, wanted ? formatted("libnccl-%s-%s.so", kind->name, wanted)
                                                : formatted("libnccl-%s.so", kind->name)};
    struct plugin plugin = {.name = NULL};
    for (int i = wanted ? 0 : 1; i < 2 && !plugin.trial.opened; i++) {
        struct plugin one = {.name = names[i]};
        find_plugin(&one);
        try_open(one.name, NULL, &one.trial);
        if (one.trial.opened || one.path || !plugin.path)
            plugin = one;
    }
    return plugin;
}

/* ---- reporting ---- */

static void report_missing(struct doctor *doctor, const struct kind *kind, const char *wanted) {
    report(doctor, WARNING, formatted("%s plugin", kind->name),
           formatted("put its folder into LD_LIBRARY_PATH, or unset %s", kind->variable),
           "%s=%s is not found (as %s or libnccl-%s-%s.so): %s", kind->variable, wanted, wanted, kind->name, wanted,
           kind->without);
}

static void report_fit(struct doctor *doctor, const struct kind *kind, const struct plugin *plugin) {
    const struct considered *chosen = doctor->decision.chosen;
    const char *check = formatted("%s plugin", kind->name), *file = plugin->path ? plugin->path : plugin->name;
    struct elf_info own, known;
    elf_info_read(plugin->path ? plugin->path : "", ELF_SYMBOLS, &own);
    elf_info_read(chosen ? chosen->candidate.path : "", ELF_TEXTS, &known);
    const char *offers = interfaces_text(kind, &own.plugins), *knows = interfaces_text(kind, &known.plugins);
    const char *fits = shared_interface(kind, &own.plugins, &known.plugins);
    if (chosen && known.plugins.count && !*knows)
        report(doctor, WARNING, check, "choose a newer NCCL, or leave the plugin out",
               "%s loads, but the chosen NCCL %s knows no %s plugins: it is ignored", file,
               version_text(chosen->version), kind->name);
    else if (!chosen || !*offers || !*knows)
        report(doctor, FINE, check, NULL, "%s loads; its interface cannot be compared", file);
    else if (fits)
        report(doctor, FINE, check, NULL, "%s loads, and fits the chosen NCCL (%s)", file, fits);
    else
        report(doctor, WARNING, check,
               "install the plugin's build for this NCCL, or choose an NCCL that it was built for",
               "%s offers interface %s, the chosen NCCL %s knows %s: it is ignored, %s", file, offers,
               version_text(chosen->version), knows, kind->without);
}

static void check_one(struct doctor *doctor, const struct kind *kind, const char *wanted) {
    const char *check = formatted("%s plugin", kind->name);
    struct plugin plugin = open_plugin(kind, wanted);
    if (plugin.trial.opened)
        report_fit(doctor, kind, &plugin);
    else if (plugin.path)
        report(doctor, FAILURE, check, "install what it needs, or the plugin's build for this system; or leave it out",
               "%s does not load, and NCCL passes over it: %s. Then %s", plugin.path, plugin.trial.error,
               kind->without);
    else if (wanted)
        report_missing(doctor, kind, wanted);
    else if (kind == &kinds[0])
        report(doctor, FINE, check, NULL, "none installed: %s", kind->without);
}

void check_plugins(struct doctor *doctor) {
    for (const struct kind *kind = kinds; kind < kinds + sizeof kinds / sizeof *kinds; kind++) {
        const char *value = ncr_environment(kind->variable);
        if (!value) {
            check_one(doctor, kind, NULL);
            continue;
        }
        char *rest = (char *)formatted("%s", value);
        for (char *name; (name = strsep(&rest, kind->list ? "," : ""));) {
            if (strcmp(name, "none") == 0)
                report(doctor, FINE, formatted("%s plugin", kind->name), NULL, "%s=%s: %s", kind->variable, value,
                       kind->list && strchr(value, ',') ? "none means no further plugin" : kind->without);
            else if (*name && strcmp(name, "STATIC_PLUGIN") != 0)
                check_one(doctor, kind, name);
        }
    }
}
