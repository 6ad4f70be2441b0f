/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands in a shell's script, as far as they can be read without running it: enough to find the Python or the NCCL
 * program in a job script, and to know when it cannot be known (a module is loaded, a command is in a variable).
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct reading {
    const char *at;
    struct shell_text *result;
    struct names words;   /* of the simple command that is being read */
    const char *here_end; /* the word that ends a here-document which begins on the next line, or NULL */
};

static bool is_among(const char *word, const char *list) {
    return strstr(list, formatted(" %s ", word)) != NULL;
}

/* Variables that lead to an NCCL, or to the program. */
static bool is_telling(const char *assignment) {
    static const char *const names[] = {
        "LD_", "NCCL_", "CUDA_", "ROCM_", "PATH=", "VIRTUAL_ENV=", "CONDA_", "PYTHON", "VLLM_"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ncr_begins(assignment, names[i]))
            return true;
    return false;
}

static bool is_assignment(const char *word) {
    size_t length = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    return length > 0 && word[length] == '=';
}

static void note_change(struct shell_text *result, const char *what) {
    if (!result->unknown)
        result->unknown = what;
}

/* Words of the shell itself that only lead to the command behind them. */
static const char *const leading = " then do else elif if while until ! { ( time exec command builtin nohup ";

/* Words of the shell itself that start nothing. */
static const char *const harmless =
    " : true false echo printf cd pwd test [ [[ ]] set unset shift exit return wait trap ulimit umask "
    "read local declare typeset readonly fi done esac } ) for case select in export alias "
    "getopts hash jobs kill let times type break continue shopt sleep mkdir rm cp mv ln ls cat "
    "chmod date hostname uname whoami id touch tee head tail grep sed awk cut sort tr wc dirname "
    "basename realpath readlink mktemp env-modules nvidia-smi rocm-smi ";

static void take_export(struct reading *reading) {
    for (unsigned i = 1; i < reading->words.count; i++)
        if (is_assignment(reading->words.list[i]) && is_telling(reading->words.list[i]))
            note_change(reading->result,
                        formatted("it sets %.*s", (int)strcspn(reading->words.list[i], "="), reading->words.list[i]));
}

/* One simple command is complete. */
static void end_command(struct reading *reading) {
    struct names *words = &reading->words;
    unsigned first = 0;
    while (first < words->count && (is_assignment(words->list[first]) || is_among(words->list[first], leading))) {
        if (is_assignment(words->list[first]) && is_telling(words->list[first]))
            note_change(reading->result,
                        formatted("it sets %.*s", (int)strcspn(words->list[first], "="), words->list[first]));
        first++;
    }
    const char *name = first < words->count ? words->list[first] : NULL;
    size_t length = name ? strlen(name) : 0;
    if (!length || name[length - 1] == ')') { /* nothing, "", name() or a pattern of case */
    } else if (is_among(name, " export declare typeset readonly ")) {
        take_export(reading);
    } else if (is_among(name, " . source eval module ml spack activate ")) {
        note_change(reading->result, formatted("`%s` there changes its environment", name));
    } else if (strpbrk(name, "$`")) {
        note_change(reading->result, formatted("it starts %s", name));
    } else if (!is_among(name, harmless)) {
        char **command = NULL;
        size_t count = 0;
        for (unsigned i = first; i <= words->count; i++) {
            command = list_grow(command, count, sizeof *command);
            command[count++] = i < words->count ? (char *)words->list[i] : NULL;
        }
        reading->result->commands = list_grow(reading->result->commands, reading->result->count, sizeof(char **));
        reading->result->commands[reading->result->count++] = command;
    }
    words->count = 0;
    words->list = NULL;
}

/* A quoted part of a word; returns behind its end. */
static const char *read_quoted(const char *at, struct ncr_text *word) {
    char quote = *at++;
    for (; *at && *at != quote; at++) {
        if (quote == '"' && *at == '\\' && at[1])
            at++;
        ncr_text_add(word, "%c", *at);
    }
    return *at ? at + 1 : at;
}

static void read_word(struct reading *reading) {
    struct ncr_text word = {0};
    const char *at = reading->at;
    while (*at && !strchr(" \t\n;&|", *at)) {
        if (*at == '\'' || *at == '"') {
            at = read_quoted(at, &word);
        } else if (*at == '\\' && at[1]) {
            if (at[1] != '\n')
                ncr_text_add(&word, "%c", at[1]);
            at += 2;
        } else if (at[0] == '$' && at[1] == '(') { /* what it prints is not known */
            ncr_text_add(&word, "$()");
            unsigned depth = 0;
            do {
                depth += *++at == '(';
                depth -= *at == ')';
            } while (*at && depth > 0);
            at += *at != '\0';
        } else {
            ncr_text_add(&word, "%c", *at++);
        }
    }
    reading->at = at;
    names_add(&reading->words, formatted("%s", ncr_text_get(&word)));
    ncr_text_free(&word);
}

/* "< file", "2>&1", "<<END": no words of the command. */
static bool read_redirection(struct reading *reading) {
    const char *at = reading->at + strspn(reading->at, "0123456789");
    if (*at == '&' && at[1] == '>')
        at++;
    if (*at != '<' && *at != '>')
        return false;
    bool here = at[0] == '<' && at[1] == '<' && at[2] != '<';
    at += strspn(at, "<>&|-");
    at += strspn(at, " \t");
    unsigned words = reading->words.count;
    reading->at = at;
    if (*at && !strchr("\n;|&", *at))
        read_word(reading);
    if (here && reading->words.count > words)
        reading->here_end = reading->words.list[words];
    reading->words.count = words;
    return true;
}

static void skip_here_document(struct reading *reading) {
    while (reading->here_end && *reading->at) {
        size_t length = strcspn(reading->at, "\n");
        const char *line = reading->at + strspn(reading->at, "\t");
        bool end =
            (size_t)(reading->at + length - line) == strlen(reading->here_end) && ncr_begins(line, reading->here_end);
        reading->at += length + (reading->at[length] == '\n');
        if (end)
            break;
    }
    reading->here_end = NULL;
}

/** Read the text of a script. */
void shell_text_read(struct shell_text *result, const char *text) {
    struct reading reading = {.at = text, .result = result};
    *result = (struct shell_text){NULL, 0, NULL};
    while (*reading.at) {
        char c = *reading.at;
        if (c == ' ' || c == '\t' || c == '\r' || (c == '\\' && reading.at[1] == '\n')) {
            reading.at += c == '\\' ? 2 : 1;
        } else if (c == '#') {
            reading.at += strcspn(reading.at, "\n");
        } else if (read_redirection(&reading)) {
            continue;
        } else if (strchr("\n;&|", c)) {
            end_command(&reading);
            reading.at++;
            if (c == '\n')
                skip_here_document(&reading);
        } else {
            read_word(&reading);
            if (reading.words.count == 1 && is_among(reading.words.list[0], leading))
                reading.words.count = 0;
        }
    }
    end_command(&reading);
}
