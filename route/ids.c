/*
 * Unique ids under rules about names: who makes an id does not know yet what the communicator will be called, and
 * NCCL's ids work in the library that made them only. So the id gets that of the other library in its free bytes (64 to
 * 127), and each rank takes the one of the library that its rules lead to. Ranks without rules use the id as it is.
 */
#include "route.h"

#include <string.h>

enum { SECOND_AT = 64, SECOND_BYTES = 48 /* NCCL's ids are no longer since 2.8 */ };

struct brief {
    unsigned char rccl, major, minor, patch;
};

struct second {
    char mark[4];
    struct brief first_library, library;
    char id[SECOND_BYTES];
    char zero[4];
};
_Static_assert(sizeof(struct second) == sizeof(struct ncr_id) - SECOND_AT, "it fills the free bytes");

static const char mark[4] = {'n', 'c', 'R', '2'};

static struct brief brief_of(const struct ncr_library *library) {
    int version = library->backend.version;
    return (struct brief){library->backend.rccl, (unsigned char)(version / 10000), (unsigned char)(version / 100 % 100),
                          (unsigned char)(version % 100)};
}

/**
 * After ncclGetUniqueId of `library`: put the id of the library in that rules about names lead to, if there are any.
 */
void ncr_id_add_second(const struct ncr_library *library, struct ncr_id *id) {
    static const struct ncr_id zero;
    struct ncr_library *other = ncr_rule_alternative(library);
    struct second second = {.first_library = brief_of(library)};
    struct ncr_id made;
    memset(&made, 0, sizeof made);
    if (!other || NCR_OWN(other, ncclGetUniqueId)(&made) != NCR_SUCCESS)
        return;
    if (memcmp(made.bytes + SECOND_BYTES, zero.bytes, sizeof made - SECOND_BYTES) != 0) {
        ncr_log(NCR_WARN, "NCCL_REDIRECT_RULES: the unique ids of %s are too long for rules about names",
                other->backend.path);
        return;
    }
    memcpy(second.mark, mark, sizeof mark);
    second.library = brief_of(other);
    memcpy(second.id, made.bytes, sizeof second.id);
    memcpy(id->bytes + SECOND_AT, &second, sizeof second);
}

/**
 * Before `library` joins with an id: take its part of one that has two. `named`: a rule about the name chose the
 * library. If the id is for another library, ncclInvalidUsage with a text.
 */
int ncr_id_take(struct ncr_library *library, bool named, struct ncr_id *id) {
    struct second second;
    memcpy(&second, id->bytes + SECOND_AT, sizeof second);
    if (memcmp(second.mark, mark, sizeof mark) != 0)
        return NCR_SUCCESS;
    struct brief made = named ? second.library : second.first_library, ours = brief_of(library);
    if (memcmp(&made, &ours, sizeof made) != 0)
        return ncr_refuse(library,
                          "the unique id was made by %s %d.%d.%d, but %s %d.%d.%d (%s) is to join with it. Set "
                          "NCCL_REDIRECT and NCCL_REDIRECT_RULES alike on all hosts; rules about names can lead "
                          "to one other backend only",
                          made.rccl ? "RCCL" : "NCCL", made.major, made.minor, made.patch, ours.rccl ? "RCCL" : "NCCL",
                          ours.major, ours.minor, ours.patch, library->backend.path);
    if (named) {
        memset(id, 0, sizeof *id);
        memcpy(id->bytes, second.id, sizeof second.id);
    }
    return NCR_SUCCESS;
}
