/* SPDX-License-Identifier: Apache-2.0 */
/* nccl-redirect env: the variables in the form that a launcher wants. env_formats.c has the forms. */
#include "cli.h"

#include <stdlib.h>

static const char *const carried[] = {
#define XX(name, values, standard, meaning) #name,
#include "env.def"
};

static void add(struct env_plan *plan, const char *name, const char *value) {
    plan->list = list_grow(plan->list, plan->count, sizeof *plan->list);
    plan->list[plan->count++] = (struct env_setting){name, value};
}

/* A form that cannot say something says nothing: half of the variables would be another choice. */
static bool can_say(const struct env_format *format, const struct env_plan *plan) {
    const char *problem = NULL;
    for (unsigned i = 0; i < plan->count && !problem; i++)
        if (plan->list[i].value && (problem = format->problem(plan->list[i].value)))
            complain("%s=%s cannot be written for %s: %s", plan->list[i].name, plan->list[i].value, format->name,
                     problem);
    const char *const folders[] = {plan->folder, plan->backend_folder};
    for (int i = 0; i < 2 && !problem && format->folder_problem; i++)
        if (folders[i] && (problem = format->folder_problem(folders[i])))
            complain("the folder %s cannot be written for %s: %s", folders[i], format->name, problem);
    return !problem;
}

/* The environment without nccl-redirect: its variables, and its library in LD_PRELOAD. Other projects' variables stay. */
static int print_unset(const struct env_format *format) {
    struct env_plan plan = {.count = 0};
    struct names entries = preload_entries(getenv("LD_PRELOAD"));
    struct ncr_text rest = {0};
    if (!format->can_unset) {
        complain("--unset has no form for %s; use --format=sh, fish, csh or systemd", format->name);
        return EXIT_USAGE;
    }
    for (unsigned i = 0; i < entries.count; i++)
        if (!is_shim(entries.list[i]) && !is_shim_name(ncr_basename(entries.list[i]))) /* another machine's, too */
            ncr_text_add(&rest, "%s%s", rest.length ? ":" : "", entries.list[i]);
    add(&plan, "LD_PRELOAD", rest.length ? ncr_text_get(&rest) : NULL);
    for (size_t i = 0; i < sizeof carried / sizeof *carried; i++)
        if (ncr_begins(carried[i], "NCCL_REDIRECT"))
            add(&plan, carried[i], NULL);
    if (!can_say(format, &plan))
        return EXIT_UNMET;
    format->print(&plan);
    return EXIT_FINE;
}

/* Where something that is compiled at run time looks for nccl.h. */
static bool add_include(struct env_plan *plan, const struct decision *decision) {
    const char *include = include_of(decision->chosen), *root = include ? ncr_parent(include, 1) : NULL;
    if (!decision->chosen)
        complain("--include: %s", decision_failure(decision));
    else if (!root)
        complain("--include: there is no nccl.h of NCCL %s beside %s; install its headers (libnccl-dev, or the wheel)",
                 version_text(decision->chosen->version), decision->chosen->candidate.path);
    if (!root)
        return false;
    add(plan, "EP_NCCL_ROOT_DIR", root);
    add(plan, "NCCL_HOME", root);
    return true;
}

int subcommand_env(struct request *request) {
    const struct env_format *format = env_format_named(request->format ? request->format
                                                       : request->json ? "json"
                                                                       : "sh");
    struct env_plan plan = {.count = 0};
    struct ncr_config config;
    struct decision decision;
    const char *problem;
    if (request->unset)
        return print_unset(format);
    int status = choice_apply(request, NULL);
    if (status)
        return status;
    ncr_config_read(&config);
    if (config.problem.length) {
        complain("%s", ncr_text_get(&config.problem));
        return EXIT_USAGE;
    }
    decide(&decision, &config, NULL); /* an RCCL has a preload of its own */
    plan.shim = shim_path(decision.chosen && decision.chosen->rccl, &problem);
    if (!plan.shim) {
        complain("%s", problem);
        return EXIT_UNMET;
    }
    plan.folder = ncr_parent(plan.shim, 1);
    plan.backend_folder = config.choice == NCR_CHOOSE_PATH ? ncr_parent(config.path, 1) : NULL;
    const char *entry = format->reader == ENV_HERE ? preload_entry(plan.shim) : plan.shim;
    add(&plan, "LD_PRELOAD", format->reader == ENV_IMAGE ? entry : preload_with(getenv("LD_PRELOAD"), NULL, entry));
    for (size_t i = 0; i < sizeof carried / sizeof *carried; i++)
        if (getenv(carried[i]))
            add(&plan, carried[i], getenv(carried[i]));
    if (request->include && !add_include(&plan, &decision))
        return EXIT_UNMET;
    if (!can_say(format, &plan))
        return EXIT_UNMET;
    format->print(&plan);
    return EXIT_FINE;
}
