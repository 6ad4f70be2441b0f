/* SPDX-License-Identifier: Apache-2.0 */
/* What NCCL's RAS answers, or whoever listens on its port. */
#include "support/fuzz.h"

#include "ras.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct parts parts;
    struct ras_answer answer;
    struct ncr_text sentence = {0};
    parts_read(&parts, data, size);
    ras_read(&answer, parts.text[0]);
    for (unsigned i = 0; i < answer.count; i++)
        MUST(is_visible(answer.list[i].communicator) && is_visible(answer.list[i].host) &&
             is_visible(answer.list[i].function));
    MUST(!ras_judge(&answer, &sentence) || sentence.length > 0);
    MUST(is_visible(ncr_text_get(&sentence)));
    ncr_text_free(&sentence);
    ras_free(&answer);
    parts_free(&parts);
    return 0;
}
