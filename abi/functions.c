/* SPDX-License-Identifier: Apache-2.0 */
/* The table of functions as C data. */
#include "abi/functions.h"

#include <string.h>

#define XX(name, since, result, route, makes)                                                                          \
    _Static_assert(sizeof #name <= NCR_MOST_NAME, #name " is longer than NCR_MOST_NAME");
#include "abi/nccl_api.def"

const struct ncr_function ncr_functions[NCR_ROWS] = {
#define XX(name, since, result, route, makes) {#name, since, NCR_##result, NCR_##route, NCR_##makes, false, true},
#define XX_SOLO(name, since, result, route, makes) {#name, since, NCR_##result, NCR_##route, NCR_##makes, false, false},
#define RCCL_XX(name, since, result, route, makes) {#name, since, NCR_##result, NCR_##route, NCR_##makes, true, true},
#include "abi/nccl_api.def"
};

/** The row of a function, by its name without the p of a profiling alias, or -1. Asked for every export of every candidate. */
int ncr_row(const char *name) {
    static const unsigned char lengths[NCR_ROWS] = {
#define XX(name, since, result, route, makes) sizeof #name - 1,
#include "abi/nccl_api.def"
    };
    size_t length = strlen(name);
    const unsigned char *at = lengths, *end = lengths + NCR_ROWS;
    for (; length < 256 && (at = memchr(at, (int)length, (size_t)(end - at))); at++)
        if (ncr_functions[at - lengths].name[length - 1] == name[length - 1] &&
            memcmp(ncr_functions[at - lengths].name, name, length) == 0)
            return (int)(at - lengths);
    return -1;
}

/** Is this exported symbol a row of the table, or the profiling alias of one? */
bool ncr_is_api_name(const char *symbol) {
    bool alias = *symbol == 'p';
    int row = ncr_row(symbol + alias);
    return row >= 0 && (!alias || ncr_functions[row].alias);
}
