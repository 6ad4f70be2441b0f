/*
 * Ranks that disagree: NCCL compares versions only since 2.23.4, and only where the wire formats match; otherwise ranks
 * hang or say "message truncated". So the rank that makes the unique id writes into it which NCCL serves it, in bytes
 * that every NCCL since 2.5 leaves zero (64 to 127; NCCL only hashes them), and each rank compares before it joins.
 * Ranks without the shim pass the same bytes on and join as ever.
 */
#include "bridge.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { TAG_AT = 64 };

struct tag {
    char mark[4];
    unsigned char rccl, major, minor, patch;
    char place[56]; /* host, NUL, the end of the path, NUL */
};
_Static_assert(sizeof(struct tag) == 128 - TAG_AT, "the tag fills the free bytes");

static const char mark[4] = {'n', 'c', 'R', '1'};

static const char *kind_name(bool rccl) {
    return rccl ? "RCCL" : "NCCL";
}

static int version_of(const struct tag *tag) {
    return tag->major * 10000 + tag->minor * 100 + tag->patch;
}

static const char *file_of(const struct tag *tag) {
    size_t host = strlen(tag->place);
    return host + 1 < sizeof tag->place ? tag->place + host + 1 : "";
}

/* The file takes the room that the host, cut at 24 characters, leaves; of a longer path the end. */
static void tag_of(const struct ncr_library *library, struct tag *tag) {
    struct utsname host;
    const char *path = library->backend.path;
    int version = library->backend.version;
    memset(tag, 0, sizeof *tag);
    memcpy(tag->mark, mark, sizeof mark);
    tag->rccl = library->backend.rccl;
    tag->major = (unsigned char)(version / 10000);
    tag->minor = (unsigned char)(version / 100 % 100);
    tag->patch = (unsigned char)(version % 100);
    size_t used = (size_t)snprintf(tag->place, 25, "%s", uname(&host) == 0 ? host.nodename : "?");
    used = (used < 25 ? used : 24) + 1;
    size_t room = sizeof tag->place - used - 1, length = strlen(path);
    if (length > room)
        snprintf(tag->place + used, room + 1, "...%s", path + length - (room - 3));
    else
        memcpy(tag->place + used, path, length);
}

static void tag_id(const struct ncr_library *library, struct ncr_id *id) {
    static const char zero[128 - TAG_AT];
    struct tag tag;
    if (!id || !ncr_settings()->tag || library->backend.version < 20500 ||
        memcmp(id->bytes + TAG_AT, zero, sizeof zero) != 0)
        return;
    tag_of(library, &tag);
    memcpy(id->bytes + TAG_AT, &tag, sizeof tag);
}

/*
 * Before a call that makes an id: 2.21.5 writes the bytes that it uses and leaves the rest as it is, which may be the
 * tag of an older id.
 */
static void clear_room(struct ncr_id *id) {
    if (id)
        memset(id->bytes + TAG_AT, 0, sizeof *id - TAG_AT);
}

/** ncclGetUniqueId, and the tag of the library that makes the id. */
int ncr_get_unique_id(struct ncr_id *id) {
    struct ncr_library *library = ncr_library_to_create(__builtin_return_address(0), NULL, NULL);
    if (!library)
        return NCR_SYSTEM_ERROR;
    clear_room(id);
    int code = NCR_OWN(library, ncclGetUniqueId)(id);
    if (code != NCR_SUCCESS)
        return code;
    tag_id(library, id);
    ncr_id_add_second(library, id);
    return NCR_SUCCESS;
}

/** ncclCommGetUniqueId (for ncclCommGrow), likewise. */
int ncr_comm_get_unique_id(ncr_comm comm, struct ncr_id *id) {
    struct ncr_library *library = ncr_library_of(comm);
    clear_room(id);
    int code = NCR_OWN(library, ncclCommGetUniqueId)(comm, id);
    if (code == NCR_SUCCESS)
        tag_id(library, id);
    return code;
}

/** Does the id come from a rank with the same library? If not, ncclInvalidUsage with a text that names both. */
int ncr_tag_check(struct ncr_library *library, const struct ncr_id *id) {
    struct tag theirs, ours;
    memcpy(&theirs, id->bytes + TAG_AT, sizeof theirs);
    if (!ncr_settings()->tag || memcmp(theirs.mark, mark, sizeof mark) != 0)
        return NCR_SUCCESS;
    tag_of(library, &ours);
    if (version_of(&theirs) == version_of(&ours) && theirs.rccl == ours.rccl)
        return NCR_SUCCESS;
    char their_version[16], our_version[16];
    theirs.place[sizeof theirs.place - 1] = '\0'; /* it came over the network */
    ncr_version_text(version_of(&theirs), their_version);
    ncr_version_text(version_of(&ours), our_version);
    return ncr_refuse(library,
                      "the ranks of this communicator have different NCCLs: %s %s on %s (%s) here, "
                      "%s %s on %s (%s) where its "
                      "unique id was made. %s; NCCL_REDIRECT_TAG=0 turns this check off",
                      kind_name(ours.rccl), our_version, ours.place, library->backend.path, kind_name(theirs.rccl),
                      their_version, theirs.place, file_of(&theirs),
                      ncr_routing() ? "Let nccl_redirect_use() or NCCL_REDIRECT_RULES choose the same for "
                                      "ncclGetUniqueId and on "
                                      "all ranks"
                                    : "Set NCCL_REDIRECT and NCCL_REDIRECT_REQUIRE alike on all hosts");
}
