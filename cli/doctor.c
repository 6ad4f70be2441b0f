/*
 * nccl-redirect doctor: the first questions of every bug report. The checks stand in check_*.c, in the order of their
 * report.
 */
#include "cli.h"

#include <gnu/libc-version.h>
#include <string.h>
#include <sys/utsname.h>

/** One answer; `cure` is NULL where nothing is to be done. */
void report(struct doctor *doctor, enum level level, const char *name, const char *cure, const char *format, ...) {
    char *text;
    va_list list;
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0)
        text = (char *)format;
    va_end(list);
    doctor->checks = grow(doctor->checks, doctor->count, sizeof *doctor->checks);
    doctor->checks[doctor->count++] = (struct check){level, name, text, cure};
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
    put_pair(22, make("%s%*s%s", tinted(tones[check->level], word), (int)(9 - strlen(word)), "", check->name), "%s",
             check->text);
    if (check->cure)
        put_pair(22, make("%*s%s", 9, "", tinted(STRONG, "to do")), "%s", check->cure);
}

static const struct check *worst(const struct doctor *doctor) {
    for (int level = FAILURE; level > FINE; level--)
        for (unsigned i = 0; i < doctor->count; i++)
            if ((int)doctor->checks[i].level == level)
                return &doctor->checks[i];
    return NULL;
}

static void show_verdict(const struct doctor *doctor) {
    unsigned failures = count_of(doctor, FAILURE), warnings = count_of(doctor, WARNING);
    const struct check *first = worst(doctor);
    const char *counts =
        make("%u FAIL, %u warning%s, %u ok", failures, warnings, warnings == 1 ? "" : "s", count_of(doctor, FINE));
    if (failures)
        put(0, "\nverdict: %s (%s). Begin with: %s", tinted(BAD, "something is wrong"), counts, first->name);
    else if (warnings)
        put(0, "\nverdict: %s (%s). Look at: %s", tinted(DOUBTFUL, "it can work"), counts, first->name);
    else
        put(0, "\nverdict: %s (%s)", tinted(GOOD, "all is well"), counts);
}

static void show_json(const struct doctor *doctor, const char *host) {
    cJSON *object = cJSON_CreateObject(), *list = cJSON_CreateArray();
    const struct check *first = worst(doctor);
    json_text(object, "host", host);
    json_text(object, "version", NCR_VERSION);
    json_text(object, "verdict", first ? words[first->level] : "ok");
    for (unsigned i = 0; i < doctor->count; i++) {
        cJSON *check = cJSON_CreateObject();
        json_text(check, "level", words[doctor->checks[i].level]);
        json_text(check, "check", doctor->checks[i].name);
        json_text(check, "text", doctor->checks[i].text);
        json_text(check, "cure", doctor->checks[i].cure);
        cJSON_AddItemToArray(list, check);
    }
    cJSON_AddItemToObject(object, "checks", list);
    put_json(object);
}

int verb_doctor(struct request *request) {
    struct doctor doctor = {.request = request};
    struct utsname host;
    apply_choice(request);
    command_resolve(&doctor.command, request->rest);
    ncr_config_read(&doctor.config);
    decide(&doctor.decision, &doctor.config, &doctor.command.subject);
    catalogue_read(&doctor.catalogue, &doctor.config, &doctor.command.subject);
    uname(&host);
    if (!request->json)
        put(0, "nccl-redirect %s on %s: %s, glibc %s, %s\n", NCR_VERSION, host.nodename, host.machine,
            gnu_get_libc_version(), host.release);

    check_preload(&doctor);
    check_list(&doctor);
    check_variables(&doctor);
    check_methods(&doctor);
    check_choice(&doctor);
    check_functions(&doctor);
    check_fallback(&doctor);
    check_second(&doctor);
    check_driver(&doctor);
    check_plugin(&doctor);
    check_processes(&doctor);
    check_command(&doctor);
    if (!doctor.command.status && doctor.command.argv && *doctor.command.argv)
        check_run(&doctor);

    if (request->json) {
        show_json(&doctor, host.nodename);
    } else {
        for (unsigned i = 0; i < doctor.count; i++)
            show(&doctor.checks[i]);
        show_verdict(&doctor);
    }
    return count_of(&doctor, FAILURE) ? EXIT_FINDING : EXIT_FINE;
}
