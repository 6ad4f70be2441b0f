/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --json of every subcommand: it is JSON, its keys are those of docs/json.md, and no documented key is missing.
 * RUN ALONE: one of them, ps --all, looks at all processes of the machine.
 */
#include "scene.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key that is documented stands in backquotes in the section of its subcommand. */
static const char *section(const char *subcommand) {
    static char *document;
    if (!document) {
        FILE *file = fopen("docs/json.md", "r");
        assert_non_null(file);
        document = calloc(1, 1 << 16);
        document[fread(document, 1, (1 << 16) - 1, file)] = '\0';
        fclose(file);
    }
    const char *start = strstr(document, text("\n## %s\n", subcommand));
    assert_non_null(start);
    const char *end = strstr(start + 1, "\n## ");
    return text("%.*s", end ? (int)(end - start) : (int)strlen(start), start);
}

static void check_keys(const cJSON *item, const char *subcommand, char **seen) {
    for (const cJSON *child = item->child; child; child = child->next) {
        if (child->string) {
            assert_contains(section(subcommand), text("`%s`", child->string));
            *seen = (char *)text("%s`%s` ", *seen, child->string);
        }
        check_keys(child, subcommand, seen);
    }
}

/* The output of each command, checked; returns all keys that were seen. */
static const char *keys_of(const struct scene *scene, const char *subcommand, const char *const *commands) {
    char *seen = "";
    for (; *commands; commands++) {
        struct result result = scene_run(scene, *commands);
        cJSON *json = cJSON_Parse(result.out);
        if (!json)
            fail_msg("%s prints no JSON:\n%s\n%s", *commands, result.out, result.err);
        check_keys(json, subcommand, &seen);
        cJSON_Delete(json);
    }
    return seen;
}

/* The first column of the tables names keys; all of them were seen. */
static void assert_all_seen(const char *subcommand, const char *seen) {
    for (const char *line = section(subcommand); *line;
         line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
        if (strncmp(line, "| `", 3) != 0)
            continue;
        const char *end = strchr(line + 1, '|');
        for (const char *at = line; (at = strchr(at, '`')) && at < end;) {
            size_t length = strcspn(at + 1, "`");
            assert_contains(seen, text("`%.*s`", (int)length, at + 1));
            at += length + 2;
        }
    }
}

static void keys_are_documented(void **state) {
    (void)state;
    struct scene scene = scene_make("healthy"), wheels = scene_make("two-wheels");
    static const char *const subcommands[] = {"explain", "inspect", "doctor", "ps", "fingerprint"};
    const char *const *const commands[] = {
        CMD("nccl-redirect explain --json -- python x.py", "nccl-redirect explain --json -- env -i python x.py",
            "NCCL_REDIRECT=x nccl-redirect explain --json", "NCCL_REDIRECT_REQIRE=1 nccl-redirect explain --json"),
        CMD("nccl-redirect inspect --json venv/lib/python3.11/site-packages/torch "
            "bin/nccl-redirect"),
        CMD("nccl-redirect doctor --json", "nccl-redirect doctor --json -- python x.py",
            "nccl-redirect doctor --json -- nothere"),
        CMD("LD_PRELOAD= nccl-redirect ps --json --all"),
        CMD("nccl-redirect fingerprint --json", "nccl-redirect fingerprint --merge --json fingerprints"),
    };
    write_file(text("%s/history/node.jsonl", wheels.root), "{\"time\":\"2026-01-01T00:00:00Z\",\"nccl\":\"2.28.9\"}\n");
    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++)
        assert_all_seen(subcommands[i], keys_of(&scene, subcommands[i], commands[i]));
    assert_all_seen(
        "list",
        keys_of(&wheels, "list", CMD("nccl-redirect list --json", "nccl-redirect list --json --history=$PWD/history")));
}

static void a_verdict_is_the_same_as_the_exit_code(void **state) {
    (void)state;
    struct scene none = scene_make("no-torch"), healthy = scene_make("healthy");
    assert_contains(scene_says(&none, 1, "nccl-redirect doctor --json"), "\"verdict\": \"FAIL\"");
    assert_contains(scene_says(&healthy, 0, "nccl-redirect doctor --json"), "\"verdict\": \"ok\"");
    assert_contains(scene_says(&none, 1, "nccl-redirect list --json"), "\"libraries\": []");
    assert_contains(scene_says(&healthy, 1, "nccl-redirect fingerprint --merge --json fingerprints"),
                    "\"same\": false");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_documented),
        cmocka_unit_test(a_verdict_is_the_same_as_the_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
