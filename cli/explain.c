/* nccl-redirect explain: the decision for one command, candidate by candidate. */
#include "cli.h"

#include <string.h>

static bool linked_with_nccl(const struct command *command) {
    for (unsigned i = 0; i < command->subject.object_count; i++)
        if (command->subject.objects[i].needs_nccl)
            return true;
    return false;
}

static const char *subject_text(const struct command *command) {
    struct ncr_text text = {0};
    if (!command->argv || !*command->argv)
        return "a process of this environment";
    for (char **at = command->argv; *at; at++)
        ncr_text_add(&text, "%s%s", at == command->argv ? "" : " ", *at);
    return ncr_text_get(&text);
}

static const char *order_text(const struct ncr_config *config) {
    switch (config->choice) {
    case NCR_CHOOSE_AUTO:
        return "torch, then system, then the file that the program itself opens";
    case NCR_CHOOSE_TORCH:
        return config->fallback ? "torch, then system" : "torch only (strict)";
    case NCR_CHOOSE_SYSTEM:
        return "system only";
    case NCR_CHOOSE_PATH:
        return "this file only";
    case NCR_CHOOSE_NOTHING:
        break;
    }
    return "nothing: the value is wrong";
}

static const char *opened_text(const struct command *command, const struct ncr_config *config) {
    bool linked = linked_with_nccl(command);
    if (config->bind == NCR_BIND_START || (config->bind == NCR_BIND_AUTO && linked))
        return linked ? "when the process starts (it is linked with NCCL)"
                      : "when the process starts (NCCL_REDIRECT_BIND=start)";
    return "at the first NCCL call, or when a library opens libnccl.so.2";
}

static void show_choice(const struct command *command, const struct decision *decision) {
    const struct considered *chosen = decision->chosen;
    const struct ncr_config *config = &decision->config;
    if (chosen) {
        put(0, "%s would use %s %s", subject_text(command), chosen->rccl ? "RCCL" : "NCCL",
            tinted(STRONG, version_text(chosen->version)));
        put_pair(13, "file", "%s", chosen->candidate.path);
        if (chosen->real_path && strcmp(chosen->real_path, chosen->candidate.path) != 0)
            put_pair(13, "real file", "%s", chosen->real_path);
        put_pair(13, "found by", "%s, from %s", ncr_method_name(chosen->candidate.method), chosen->candidate.origin);
    } else {
        put(0, "%s would get %s", subject_text(command),
            config->choice == NCR_CHOOSE_AUTO ? tinted(DOUBTFUL, "no NCCL but one that it brings itself")
                                              : tinted(BAD, "no NCCL: its calls return ncclSystemError"));
        put_pair(13, "because", "%s", decision_failure(decision));
        put_pair(13, "to do", "%s", decision_cure(decision));
    }
    if (command->program)
        put_pair(13, "program", "%s%s", command->program,
                 strcmp(command->program, command->started_as) == 0 ? ""
                                                                    : make(", started as %s", command->started_as));
    if (command->launcher)
        put_pair(13, "launcher", "%s: what it starts here decides for itself", command->launcher);
    put_pair(13, "decided by", "%s", config->decided_by);
    put_pair(13, "order", "%s", order_text(config));
    if (config->require_text)
        put_pair(13, "required", "%s", config->require_text);
    if (chosen)
        put_pair(13, "opened", "%s", opened_text(command, config));
}

static enum tone outcome_tone(const struct considered *one) {
    return one->chosen ? GOOD : one->outcome == NCR_REFUSED ? BAD : one->outcome == NCR_FIT ? PLAIN : FAINT;
}

static void show_candidates(const struct decision *decision, bool all) {
    unsigned number = 0, hidden = 0;
    for (unsigned i = 0; i < decision->count; i++) {
        const struct considered *one = &decision->list[i];
        if (!all &&
            (one->outcome == NCR_SEEN || (one->outcome == NCR_ABSENT && one->candidate.method != NCR_BY_PATH))) {
            hidden++;
            continue;
        }
        if (number == 0)
            printf("\ncandidates in the order of trial\n");
        const char *word = outcome_word(one);
        printf("%3u  %s%*s  %-7s  ", ++number, tinted(outcome_tone(one), word), (int)(7 - strlen(word)), "",
               ncr_method_name(one->candidate.method));
        if (one->version)
            printf("NCCL %s, ", one->version_text && !one->chosen ? one->version_text : version_text(one->version));
        printf("from %s\n", one->candidate.origin);
        put(5, "%s%s%s", one->candidate.path, one->why ? ": " : "", one->why ? one->why : "");
    }
    if (hidden)
        printf("\n%u more places hold nothing, or a file named above (--all lists them)\n", hidden);
}

static void show_lines(const char *word, const char *lines) {
    for (const char *line = lines; *line; line += strcspn(line, "\n") + 1)
        put(0, "%s: %.*s", word, (int)strcspn(line, "\n"), line);
}

static void show_remarks(const struct command *command, const struct decision *decision) {
    show_lines(tinted(BAD, "error"), ncr_text_get(&decision->config.errors));
    show_lines(tinted(DOUBTFUL, "warning"), ncr_text_get(&decision->config.warnings));
    if (*decision->notes && decision->chosen && decision->config.choice != NCR_CHOOSE_SYSTEM)
        put(0, "note: %s", decision->notes);
    if (command->is_static || command->set_uid || command->narrow)
        put(0, "%s: %s is %s, so a preload has no effect on it", tinted(DOUBTFUL, "warning"), command->program,
            command->is_static ? "linked statically"
            : command->set_uid ? "a set-uid program"
                               : "a 32-bit program");
}

static void show_json(const struct command *command, const struct decision *decision) {
    const struct ncr_config *config = &decision->config;
    cJSON *object = cJSON_CreateObject(), *list = cJSON_CreateArray();
    json_text(object, "program", command->program);
    json_text(object, "started_as", command->started_as);
    json_text(object, "launcher", command->launcher);
    json_text(object, "decided_by", config->decided_by);
    json_text(object, "required", config->require_text);
    cJSON_AddBoolToObject(object, "fallback", config->fallback);
    cJSON_AddItemToObject(object, "chosen", decision->chosen ? considered_json(decision->chosen) : cJSON_CreateNull());
    json_text(object, "failure", decision->chosen ? NULL : decision_failure(decision));
    json_text(object, "cure", decision->chosen ? NULL : decision_cure(decision));
    json_text(object, "note", *decision->notes ? decision->notes : NULL);
    cJSON_AddBoolToObject(object, "linked_with_nccl", linked_with_nccl(command));
    cJSON_AddBoolToObject(object, "preload_has_effect", !command->is_static && !command->set_uid && !command->narrow);
    cJSON_AddItemToObject(object, "errors", json_lines(ncr_text_get(&config->errors)));
    cJSON_AddItemToObject(object, "warnings", json_lines(ncr_text_get(&config->warnings)));
    for (unsigned i = 0; i < decision->count; i++)
        cJSON_AddItemToArray(list, considered_json(&decision->list[i]));
    cJSON_AddItemToObject(object, "candidates", list);
    put_json(object);
}

int verb_explain(struct request *request) {
    struct command command;
    struct ncr_config config;
    struct decision decision;
    apply_choice(request);
    command_resolve(&command, request->rest);
    if (command.status) {
        complain("%s", command.problem);
        return command.status;
    }
    ncr_config_read(&config);
    decide(&decision, &config, &command.subject);
    if (request->json) {
        show_json(&command, &decision);
    } else {
        show_choice(&command, &decision);
        show_candidates(&decision, request->all);
        show_remarks(&command, &decision);
    }
    return decision_status(&decision);
}
