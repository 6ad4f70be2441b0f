/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nccl-redirect doctor: the first questions of every bug report. The checks are in check_*.c, in the order of their
 * report.
 */
#include "cli.h"

#include <gnu/libc-version.h>
#include <string.h>
#include <sys/utsname.h>

/** One answer; `fix` is NULL if there is nothing to do. */
void report(struct doctor *doctor, enum level level, const char *name, const char *fix, const char *format, ...) {
    char *text;
    va_list list;
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0)
        text = (char *)format;
    va_end(list);
    doctor->checks = list_grow(doctor->checks, doctor->count, sizeof *doctor->checks);
    doctor->checks[doctor->count++] = (struct check){level, name, text, fix};
}

static unsigned count_of(const struct doctor *doctor, enum level level) {
    unsigned count = 0;
    for (unsigned i = 0; i < doctor->count; i++)
        count += doctor->checks[i].level == level;
    return count;
}

static const char *const words[] = {"ok", "warning", "FAIL"};

static void show(const struct check *check) {
    static const enum tone tones[] = {GOOD, DOUBTFUL, BAD};
    const char *word = words[check->level];
    record_begin();
    line_add(tones[check->level], "%-9s", word);
    line_add(PLAIN, "%-12s %s", check->name, check->text);
    line_end(2, 24);
    if (check->fix) {
        line_add(STRONG, "%-13s", "fix");
        line_add(PLAIN, "%s", check->fix);
        line_end(11, 24);
    }
    record_end();
}

static const struct check *worst(const struct doctor *doctor) {
    for (int level = FAILURE; level > FINE; level--)
        for (unsigned i = 0; i < doctor->count; i++)
            if ((int)doctor->checks[i].level == level)
                return &doctor->checks[i];
    return NULL;
}

static void show_result(const struct doctor *doctor) {
    unsigned failures = count_of(doctor, FAILURE), warnings = count_of(doctor, WARNING);
    const struct check *first = worst(doctor);
    const char *counts =
        formatted("%u FAIL, %u warning%s, %u ok", failures, warnings, warnings == 1 ? "" : "s", count_of(doctor, FINE));
    gap_print();
    line_add(PLAIN, "result: ");
    if (failures)
        line_add(BAD, "something is wrong");
    else
        line_add(warnings ? DOUBTFUL : GOOD, warnings ? "it can work" : "all is well");
    line_add(PLAIN, " (%s)", counts);
    if (first)
        line_add(PLAIN, ". %s: %s", failures ? "Begin with" : "Look at", first->name);
    if (failures)
        line_add(PLAIN, ". Error messages and what to do: %s", document_path("troubleshooting.md"));
    line_end(0, 0);
}

static void show_json(const struct doctor *doctor, const char *host) {
    struct json *object = json_object(), *list = json_list();
    const struct check *first = worst(doctor);
    json_add_text(object, "host", host);
    json_add_text(object, "version", NCR_VERSION);
    json_add_text(object, "verdict", first ? words[first->level] : "ok");
    for (unsigned i = 0; i < doctor->count; i++) {
        struct json *check = json_object();
        json_add_text(check, "level", words[doctor->checks[i].level]);
        json_add_text(check, "check", doctor->checks[i].name);
        json_add_text(check, "text", doctor->checks[i].text);
        json_add_text(check, "fix", doctor->checks[i].fix);
        json_add(list, NULL, check);
    }
    json_add(object, "checks", list);
    json_print(object);
}

/* The checks, in the order of the report. */
static const struct {
    void (*check)(struct doctor *doctor);
    bool runs; /* it starts the command that doctor was given */
} checks[] = {
    {check_preload, false},   /* can the preload library work here? */
    {check_list, false},      /* is LD_PRELOAD in order? */
    {check_variables, false}, /* are the variables valid? */
    {check_methods, false},   /* torch, and what each method finds */
    {check_choice, false},    /* the result of the configured choice */
    {check_functions, false}, /* what torch needs and the chosen NCCL lacks */
    {check_fallback, false},  /* what is used if that one fails */
    {check_second, false},    /* other NCCLs in the way, packages that disagree */
    {check_driver, false},    /* the GPU driver */
    {check_headers, false},   /* what is compiled at run time */
    {check_plugins, false},   /* plugins of NCCL */
    {check_processes, false}, /* what runs already */
    {check_command, false},   /* can the preload library reach the command? */
    {check_run, true},        /* what was really active in it */
};

/* Problems first; otherwise the order of the checks stays. */
static void sort_by_level(struct doctor *doctor) {
    struct check *sorted = list_grow(NULL, 0, (doctor->count + 1) * sizeof *sorted);
    unsigned count = 0;
    for (int level = FAILURE; level >= FINE; level--)
        for (unsigned i = 0; i < doctor->count; i++)
            if ((int)doctor->checks[i].level == level)
                sorted[count++] = doctor->checks[i];
    doctor->checks = sorted;
}

static void run_checks(struct doctor *doctor) {
    const struct command *command = &doctor->command;
    bool runs = !command->status && command->argv && *command->argv;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (runs || !checks[i].runs)
            checks[i].check(doctor);
    sort_by_level(doctor);
}

int subcommand_doctor(struct request *request) {
    struct doctor doctor = {.request = request};
    struct utsname host;
    int status = choice_apply(request, &doctor.command);
    if (status)
        return status;
    ncr_config_read(&doctor.config);
    decide(&doctor.decision, &doctor.config, &doctor.command.subject);
    catalogue_read(&doctor.catalogue, &doctor.config, &doctor.command.subject);
    uname(&host);
    if (!request->json) {
        line_print(0, "nccl-redirect %s on %s: %s, glibc %s, %s", NCR_VERSION, host.nodename, host.machine,
                   gnu_get_libc_version(), host.release);
        gap_print();
    }
    run_checks(&doctor);
    if (request->json) {
        show_json(&doctor, host.nodename);
    } else {
        for (unsigned i = 0; i < doctor.count; i++)
            show(&doctor.checks[i]);
        show_result(&doctor);
    }
    return count_of(&doctor, FAILURE) ? EXIT_FINDING : EXIT_FINE;
}
