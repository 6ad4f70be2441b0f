/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unique ids with name: rules: the rank that creates an id does not know yet what the communicator will be called, and
 * an id works only in the library that created it. So the id carries an id of the other library in its free bytes (64
 * to 127), and each rank takes the one of the library that its rules lead to. Ranks without rules use the id as it is.
 */
#include "ranks.h"

#include <string.h>

enum { SECOND_BYTES = 48 /* NCCL's ids are no longer since 2.8 */ };

struct second {
    char mark[4];
    struct ncr_brief first_library, library;
    char id[SECOND_BYTES];
    char zero[4];
};
_Static_assert(sizeof(struct second) == sizeof(struct ncr_id) - NCR_ID_FREE, "it fills the free bytes");

static const char mark[4] = {'n', 'c', 'R', '2'};

/** Put an id of `other` into the id that `library` has just made. */
void ncr_second_id_add(const struct ncr_library *library, const struct ncr_library *other, struct ncr_id *id) {
    static const struct ncr_id zero;
    struct second second = {.first_library = ncr_brief_of(library)};
    struct ncr_id made;
    memset(&made, 0, sizeof made);
    if (NCR_TARGET(other, ncclGetUniqueId)(&made) != NCR_SUCCESS)
        return;
    if (memcmp(made.bytes + SECOND_BYTES, zero.bytes, sizeof made - SECOND_BYTES) != 0) {
        ncr_log(NCR_WARN,
                "NCCL_REDIRECT_RULES: name: rules cannot lead to %s, whose unique IDs leave no room for a second one",
                other->backend.path);
        return;
    }
    memcpy(second.mark, mark, sizeof mark);
    second.library = ncr_brief_of(other);
    memcpy(second.id, made.bytes, sizeof second.id);
    memcpy(id->bytes + NCR_ID_FREE, &second, sizeof second);
}

/**
 * Before `library` joins with an id: take its part of one that has two. `by_name`: a name: rule chose the library. If
 * the id is for another library, ncclInvalidUsage with an error message.
 */
int ncr_second_id_take(const struct ncr_library *library, bool by_name, struct ncr_id *id) {
    struct second second;
    memcpy(&second, id->bytes + NCR_ID_FREE, sizeof second);
    if (memcmp(second.mark, mark, sizeof mark) != 0)
        return NCR_SUCCESS;
    struct ncr_brief made = by_name ? second.library : second.first_library, ours = ncr_brief_of(library);
    if (memcmp(&made, &ours, sizeof made) != 0)
        return ncr_refuse(library,
                          "the unique ID was created by %s %d.%d.%d, but this rank joins with %s %d.%d.%d (%s). Set "
                          "NCCL_REDIRECT and NCCL_REDIRECT_RULES to the same values on all hosts; all name: rules "
                          "must lead to the same NCCL",
                          made.rccl ? "RCCL" : "NCCL", made.major, made.minor, made.patch, ours.rccl ? "RCCL" : "NCCL",
                          ours.major, ours.minor, ours.patch, library->backend.path);
    if (by_name) {
        memset(id, 0, sizeof *id);
        memcpy(id->bytes, second.id, sizeof second.id);
    }
    return NCR_SUCCESS;
}
