/* SPDX-License-Identifier: Apache-2.0 */
/* A range of versions, as in NCCL_REDIRECT_REQUIRE: bounds such as ">=2.27", separated by commas; all of them hold. */
#include "loader.h"

#include <limits.h>
#include <string.h>

static const struct {
    const char *text;
    bool from, from_behind; /* bounds below: by the version, or by the first one behind it */
    bool to, to_behind;     /* bounds above, likewise */
} operators[] = {
    {">=", true, false, false, false}, {"<=", false, false, true, true}, {"==", true, false, true, true},
    {">", true, true, false, false},   {"<", false, false, true, false},
};

/* One bound: ">=2.27" and so on. "2.27" stands for the whole series 2.27.x, "2.27.3" for itself. */
static bool read_bound(struct ncr_range *range, const char **text) {
    const char *at = *text + strspn(*text, " ");
    size_t op = 0;
    while (op < sizeof operators / sizeof *operators && !ncr_begins(at, operators[op].text))
        op++;
    if (op == sizeof operators / sizeof *operators)
        return false;
    at += strlen(operators[op].text);
    at += strspn(at, " ");
    const char *start = at;
    int version;
    if (!ncr_version_parse(at, &version, &at))
        return false;
    unsigned dots = 0;
    for (const char *c = start; c < at; c++)
        dots += *c == '.';
    int behind = version + (dots == 2 ? 1 : dots == 1 ? 100 : 10000);
    int lowest = operators[op].from_behind ? behind : version, highest = operators[op].to_behind ? behind : version;
    if (operators[op].from && lowest > range->at_least)
        range->at_least = lowest;
    if (operators[op].to && highest < range->below)
        range->below = highest;
    *text = at + strspn(at, " ");
    return true;
}

/** Read a range. Returns what is wrong with it, in words that follow the text, or NULL. */
const char *ncr_range_read(struct ncr_range *range, const char *text) {
    *range = (struct ncr_range){0, INT_MAX};
    bool good = read_bound(range, &text);
    while (good && *text == ',') {
        text++;
        good = read_bound(range, &text);
    }
    if (!good || *text)
        return "is not a version range";
    return range->at_least < range->below ? NULL : "allows no version";
}
