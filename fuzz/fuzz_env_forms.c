/* SPDX-License-Identifier: Apache-2.0 */
/* `env` in every form, with a value that anybody has put into a variable: what is written must be read back as that value. */
#include "support/fuzz.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* Whether what is printed needs eval is said on standard error. */
void __wrap_complain(const char *format, ...);
void __wrap_complain(const char *format, ...) {
    (void)format;
}

/* ---- readers, written apart from what writes ---- */

static bool skip(const char **at, const char *text) {
    size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0)
        return false;
    *at += length;
    return true;
}

/* $(printf '…') in double quotes: octal escapes, %% and a last dot that ${NAME%.} takes off. */
static void read_printf(const char **at, struct ncr_text *word) {
    while (**at && **at != '\'') {
        unsigned code = (unsigned char)**at;
        if (**at == '\\') {
            code = (unsigned)(((*at)[1] - '0') * 64 + ((*at)[2] - '0') * 8 + ((*at)[3] - '0'));
            *at += 3;
        } else if (**at == '%') {
            MUST(*++*at == '%');
        }
        ncr_text_add(word, "%c", (int)code);
        ++*at;
    }
    MUST(skip(at, "')\"") && word->length && word->data[--word->length] == '.');
    word->data[word->length] = '\0';
}

/* A word as a POSIX shell reads it. */
static const char *read_word(const char **at) {
    struct ncr_text word = {0};
    ncr_text_add(&word, "%s", "");
    while (**at && !strchr(" \t\n", **at)) {
        if (skip(at, "\"$(printf '")) {
            read_printf(at, &word);
        } else if (**at == '\'') {
            for (++*at; **at != '\''; ++*at) {
                MUST(**at);
                ncr_text_add(&word, "%c", **at);
            }
            ++*at;
        } else {
            *at += **at == '\\';
            MUST(!strchr("\"$`;&|<>()*?[]#~!{}", **at) || (*at)[-1] == '\\');
            ncr_text_add(&word, "%c", *(*at)++);
        }
    }
    return ncr_text_get(&word);
}

/* In quotes, with a backslash before these characters; \n is a newline where `newline` is set, %% a percent sign. */
static const char *read_escaped(const char **at, char quote, const char *escapes, bool newline, bool percent) {
    struct ncr_text word = {0};
    ncr_text_add(&word, "%s", "");
    MUST(*(*at)++ == quote);
    for (; **at != quote; ++*at) {
        char c = **at;
        MUST(c);
        if (c == '\\' && (*at)[1] && (strchr(escapes, (*at)[1]) || (newline && (*at)[1] == 'n'))) {
            c = *++*at;
            if (c == 'n' && newline)
                c = '\n';
        } else if (c == '%' && percent)
            MUST(*++*at == '%');
        ncr_text_add(&word, "%c", c);
    }
    ++*at;
    return ncr_text_get(&word);
}

static void add_utf8(struct ncr_text *word, unsigned code) {
    unsigned more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned first[] = {0, 0xc0, 0xe0, 0xf0};
    ncr_text_add(word, "%c", (int)(first[more] | code >> 6 * more));
    while (more-- > 0)
        ncr_text_add(word, "%c", (int)(0x80 | (code >> 6 * more & 0x3f)));
}

static const char *read_yaml(const char **at) {
    struct ncr_text word = {0};
    ncr_text_add(&word, "%s", "");
    MUST(*(*at)++ == '"');
    while (**at != '"') {
        char c = *(*at)++;
        MUST(c >= ' ' && c < 0x7f);
        if (c != '\\') {
            ncr_text_add(&word, "%c", c);
            continue;
        }
        c = *(*at)++;
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (digits) {
            char number[9] = "";
            strncat(number, *at, digits);
            add_utf8(&word, (unsigned)strtoul(number, NULL, 16));
            *at += digits;
        } else {
            ncr_text_add(&word, "%c", c);
        }
    }
    return ncr_text_get(&word);
}

/* fish: quotes in which a backslash hides a quote or itself, and bytes outside of them. */
static const char *read_fish(const char **at) {
    struct ncr_text word = {0};
    ncr_text_add(&word, "%s", "");
    while (**at && **at != ';') {
        if (**at == '\'') {
            ncr_text_add(&word, "%s", read_escaped(at, '\'', "'\\", false, false));
        } else {
            char number[3] = {0};
            MUST(skip(at, "\\X"));
            strncpy(number, *at, 2);
            ncr_text_add(&word, "%c", (int)strtoul(number, NULL, 16));
            *at += 2;
        }
    }
    return ncr_text_get(&word);
}

/* csh: a backslash before a "!" counts inside quotes, too. */
static const char *read_csh(const char **at) {
    struct ncr_text word = {0};
    ncr_text_add(&word, "%s", "");
    while (**at && **at != ';') {
        if (skip(at, "\\'"))
            ncr_text_add(&word, "'");
        else
            ncr_text_add(&word, "%s", read_escaped(at, '\'', "!", false, false));
    }
    return ncr_text_get(&word);
}

/* ---- the forms ---- */

static const char *written(const struct env_format *format, const char *value) {
    struct env_setting settings[] = {{"NCCL_REDIRECT", value}};
    struct env_plan plan = {settings, 1, "/opt/lib.so", "/opt", NULL};
    FILE *standard = stdout;
    static char text[1 << 17];
    memset(text, 0, 4);
    stdout = fmemopen(text, sizeof text, "w");
    MUST(stdout);
    format->print(&plan);
    fclose(stdout);
    stdout = standard;
    return text;
}

static bool holds(const char *form, const char *value) {
    return !env_format_named(form)->problem(value);
}

static void check(const char *form, const char *value, const char *before, const char *(*read)(const char **at)) {
    if (!holds(form, value))
        return;
    const char *text = written(env_format_named(form), value), *at = strstr(text, before);
    MUST(at && !has_controls(text));
    at += strlen(before);
    MUST(strcmp(read(&at), value) == 0);
}

static const char *read_systemd(const char **at) {
    const char *pair = read_escaped(at, '"', "\"\\", true, true);
    MUST(strncmp(pair, "NCCL_REDIRECT=", 14) == 0);
    return pair + 14;
}

static const char *read_dockerfile(const char **at) {
    return read_escaped(at, '"', "\"\\$", false, false);
}

/* The second word, behind --env or -x: NAME=VALUE. */
static const char *read_pair(const char **at) {
    const char *pair = read_word(at);
    MUST(strncmp(pair, "NCCL_REDIRECT=", 14) == 0);
    return pair + 14;
}

/* Of Kubernetes, which makes one dollar of two. */
static const char *read_k8s(const char **at) {
    char *value = (char *)read_yaml(at), *to = value;
    for (const char *from = value; *from; from++) {
        *to++ = *from;
        from += from[0] == '$' && from[1] == '$';
    }
    *to = '\0';
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct parts parts;
    if (size > 2048)
        return 0;
    arena_begin();
    parts_read(&parts, data, size);
    const char *value = parts.text[0];
    check("sh", value, "export NCCL_REDIRECT=", read_word);
    check("fish", value, "set -gx NCCL_REDIRECT ", read_fish);
    check("csh", value, "setenv NCCL_REDIRECT ", read_csh);
    check("docker", value, "--env ", read_pair);
    check("mpirun", value, "-x ", read_pair);
    check("k8s", value, "value: ", read_k8s);
    check("systemd", value, "Environment=", read_systemd);
    check("dockerfile", value, "ENV NCCL_REDIRECT=", read_dockerfile);
    if (holds("json", value))
        MUST(strcmp(json_member(written(env_format_named("json"), value), "NCCL_REDIRECT"), value) == 0);
    arena_end();
    return 0;
}
