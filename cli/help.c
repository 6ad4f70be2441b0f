/* SPDX-License-Identifier: Apache-2.0 */
/* The help, from the table subcommands.def; and the word that was probably meant. */
#include "cli.h"

#include <string.h>

/** What the program is, and all that it can do. */
void overview_print(void) {
    line_print(0, "nccl-redirect: send an unmodified program's NCCL calls to the NCCL that you choose");
    line_print(0, "%s", "");
    line_print(0, "usage: nccl-redirect COMMAND [OPTION...] [ARG...]");
    line_print(0, "%s", "");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        pair_print(13, PLAIN, subcommands[i].name, "%s", subcommands[i].summary);
    line_print(0, "%s", "");
    line_print(0,
               "nccl-redirect help COMMAND explains one. Is something wrong? nccl-redirect doctor; error messages and "
               "what to do: %s",
               document_path("troubleshooting.md"));
    line_print(0,
               "Exit codes: 0 fine, 1 a finding or a difference, 2 usage, 74 the output could not be written, 78 the "
               "choice cannot be satisfied, 126 and 127 the command cannot be executed or is not found.");
}

static void option_help(const struct option_row *option) {
    const char *values = option->type == OPTION_WORD ? formatted(": %s", values_text(option->values)) : "";
    pair_print(
        20, PLAIN,
        formatted("--%s%s%s%s", option_name(option), option->type == OPTION_MAYBE ? "[" : "",
                  option->argument ? "=" : "",
                  formatted("%s%s", option->argument ? option->argument : "", option->type == OPTION_MAYBE ? "]" : "")),
        "%s%s", option->meaning, values);
}

/** One subcommand, as with --help. */
void subcommand_help(const struct subcommand *subcommand) {
    bool any = strlen(subcommand->options) > 1 && subcommand->options[1] != '|';
    line_print(0, "usage: nccl-redirect %s%s%s%s", subcommand->name, any ? " [OPTION...]" : "",
               *subcommand->arguments ? " " : "", subcommand->arguments);
    line_print(0, "%s", subcommand->summary);
    line_print(0, "%s", "");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (subcommand_has(subcommand, &option_rows[i]))
            option_help(&option_rows[i]);
    pair_print(20, PLAIN, "--help", "print this");
    line_print(0, "%s", "");
    line_print(0, "%s", subcommand->text);
}

/* ---- what was meant ---- */

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

/* Edit distance, in which two letters that are exchanged count once. Words of at most 31 letters. */
static unsigned distance(const char *a, const char *b) {
    unsigned rows[3][33];
    size_t width = strlen(b);
    if (strlen(a) > 31 || width > 31)
        return 99;
    for (size_t j = 0; j <= width; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; a[i - 1]; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= width; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[strlen(a) % 3][width];
}

/** The word that was probably meant by `typed`, or NULL: one that it begins, or at most every third letter is wrong. */
const char *nearest_word(const char *typed, const char *const *words, unsigned count) {
    const char *nearest = NULL;
    unsigned best = (unsigned)strlen(typed) / 3 + 1;
    for (unsigned i = 0; i < count; i++) {
        unsigned d = distance(typed, words[i]);
        if (strlen(typed) > 1 && ncr_begins(words[i], typed))
            d = 0;
        if (d < best || (d == best && !nearest && strlen(typed) > 3)) {
            best = d;
            nearest = words[i];
        }
    }
    return nearest;
}
