/* SPDX-License-Identifier: Apache-2.0 */
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
        return "torch, then what the program itself asks for, then system";
    case NCR_CHOOSE_TORCH:
        return config->fallback ? "torch, then system" : "torch only (strict)";
    case NCR_CHOOSE_SYSTEM:
        return "system only";
    case NCR_CHOOSE_PROGRAM:
        return config->fallback ? "what the program itself asks for, then system"
                                : "what the program asks for (strict)";
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
        line_add(PLAIN, "%s would use %s ", subject_text(command), chosen->rccl ? "RCCL" : "NCCL");
        line_add(STRONG, "%s", version_text(chosen->version));
        line_end(0, 0);
        pair_print(13, PLAIN, "file", "%s", chosen->candidate.path);
        if (chosen->real_path && strcmp(chosen->real_path, chosen->candidate.path) != 0)
            pair_print(13, PLAIN, "real file", "%s", chosen->real_path);
        pair_print(13, PLAIN, "found by", "%s, from %s", ncr_method_name(chosen->candidate.method),
                   chosen->candidate.origin);
        if (include_of(chosen))
            pair_print(13, PLAIN, "headers", "%s", include_of(chosen));
    } else {
        bool own = config->choice == NCR_CHOOSE_AUTO;
        line_add(PLAIN, "%s would get ", subject_text(command));
        line_add(own ? DOUBTFUL : BAD,
                 own ? "no NCCL but one that it brings itself" : "no NCCL: its calls return ncclSystemError");
        line_end(0, 0);
        pair_print(13, PLAIN, "because", "%s", decision_failure(decision));
        pair_print(13, PLAIN, "fix", "%s", decision_fix(decision));
    }
    if (command->program)
        pair_print(13, PLAIN, "program", "%s%s", command->program,
                   strcmp(command->program, command->started_as) == 0
                       ? ""
                       : formatted(", started as %s", command->started_as));
    if (command->launcher)
        pair_print(13, PLAIN, "launcher", "%s: what it starts here decides for itself", command->launcher);
    pair_print(13, PLAIN, "decided by", "%s", config->decided_by);
    pair_print(13, PLAIN, "order", "%s", order_text(config));
    if (config->require_text)
        pair_print(13, PLAIN, "required", "%s", config->require_text);
    if (chosen)
        pair_print(13, PLAIN, "opened", "%s", opened_text(command, config));
}

static enum tone outcome_tone(const struct considered *one) {
    return one->chosen ? GOOD : one->outcome == NCR_REFUSED ? BAD : one->outcome == NCR_FIT ? PLAIN : FAINT;
}

static void show_candidate(unsigned number, const struct considered *one) {
    record_begin();
    line_add(PLAIN, "%3u  ", number);
    line_add(outcome_tone(one), "%-7s", outcome_word(one));
    line_add(PLAIN, "  %-7s  ", ncr_method_name(one->candidate.method));
    if (one->version)
        line_add(PLAIN, "NCCL %s, ",
                 one->version_text && !one->chosen ? one->version_text : version_text(one->version));
    line_add(PLAIN, "from %s", one->candidate.origin);
    line_end(0, 5);
    line_print(5, "%s%s%s", one->candidate.path, one->why ? ": " : "", one->why ? one->why : "");
    record_end();
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
        if (number == 0) {
            gap_print();
            line_print(0, "candidates, in the order in which they are tried");
        }
        show_candidate(++number, one);
    }
    if (hidden) {
        gap_print();
        line_print(0, "%u more places contain nothing, or a file listed above (--all lists them)", hidden);
    }
}

static void show_lines(enum tone tone, const char *word, const char *lines) {
    for (const char *line = lines; *line; line = next_line(line)) {
        line_add(tone, "%s", word);
        line_add(PLAIN, ": %.*s", (int)strcspn(line, "\n"), line);
        line_end(0, 0);
    }
}

static void show_remarks(const struct command *command, const struct decision *decision) {
    show_lines(BAD, "error", ncr_text_get(&decision->config.errors));
    show_lines(DOUBTFUL, "warning", ncr_text_get(&decision->config.warnings));
    if (*decision->notes && decision->chosen && decision->config.choice != NCR_CHOOSE_SYSTEM)
        line_print(0, "note: %s", decision->notes);
    for (unsigned i = 0; i < command->loss_count; i++)
        show_lines(command->losses[i].certain ? BAD : DOUBTFUL, command->losses[i].certain ? "preload lost" : "warning",
                   formatted("%s. Fix: %s", command->losses[i].text, command->losses[i].fix));
    if (command->opaque)
        show_lines(DOUBTFUL, "warning", formatted("%s; this is the choice as seen from here", command->opaque));
}

static struct json *losses_json(const struct command *command) {
    struct json *list = json_list();
    for (unsigned i = 0; i < command->loss_count; i++) {
        struct json *object = json_object();
        json_add_text(object, "text", command->losses[i].text);
        json_add_text(object, "fix", command->losses[i].fix);
        json_add_bool(object, "certain", command->losses[i].certain);
        json_add(list, NULL, object);
    }
    return list;
}

static void show_json(const struct command *command, const struct decision *decision) {
    const struct ncr_config *config = &decision->config;
    struct json *object = json_object(), *list = json_list();
    json_add_text(object, "program", command->program);
    json_add_text(object, "started_as", command->started_as);
    json_add_text(object, "launcher", command->launcher);
    json_add_text(object, "decided_by", config->decided_by);
    json_add_text(object, "required", config->require_text);
    json_add_bool(object, "fallback", config->fallback);
    json_add(object, "chosen", decision->chosen ? considered_json(decision->chosen) : NULL);
    json_add_text(object, "include", include_of(decision->chosen));
    json_add_text(object, "failure", decision->chosen ? NULL : decision_failure(decision));
    json_add_text(object, "fix", decision->chosen ? NULL : decision_fix(decision));
    json_add_text(object, "note", *decision->notes ? decision->notes : NULL);
    json_add_bool(object, "linked_with_nccl", linked_with_nccl(command));
    json_add_bool(object, "preload_has_effect", !ignores_preload_word(command));
    json_add_text(object, "preload", loss_word(command));
    json_add(object, "losses", losses_json(command));
    json_add_text(object, "unknown", command->opaque);
    json_add_lines(object, "errors", ncr_text_get(&config->errors));
    json_add_lines(object, "warnings", ncr_text_get(&config->warnings));
    for (unsigned i = 0; i < decision->count; i++)
        json_add(list, NULL, considered_json(&decision->list[i]));
    json_add(object, "candidates", list);
    json_print(object);
}

int subcommand_explain(struct request *request) {
    struct command command;
    struct ncr_config config;
    struct decision decision;
    if (request->pid)
        return explain_process(request);
    int status = choice_apply(request, &command);
    if (command.status) {
        complain("%s", command.problem);
        return command.status;
    }
    if (status)
        return status;
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
