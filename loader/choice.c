/* SPDX-License-Identifier: Apache-2.0 */
/* What a value may name: one list of words and one parser for NCCL_REDIRECT, rules, the API and the tool's --use. */
#include "loader.h"

#include <strings.h>

const char ncr_choice_values[] = "torch, system, program or the absolute path of a libnccl.so.2";

/** Read "auto", "torch", "system", "program" (any case) or an absolute path. False for anything else. */
bool ncr_choice_read(const char *text, enum ncr_choice *choice) {
    static const struct {
        const char *word;
        enum ncr_choice choice;
    } words[] = {{"auto", NCR_CHOOSE_AUTO},
                 {"torch", NCR_CHOOSE_TORCH},
                 {"system", NCR_CHOOSE_SYSTEM},
                 {"program", NCR_CHOOSE_PROGRAM}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i].word) == 0) {
            *choice = words[i].choice;
            return true;
        }
    *choice = NCR_CHOOSE_PATH;
    return *text == '/';
}

/** The same for places that need one particular backend: everything but "auto". */
bool ncr_choice_read_one(const char *text, enum ncr_choice *choice) {
    return ncr_choice_read(text, choice) && *choice != NCR_CHOOSE_AUTO;
}
