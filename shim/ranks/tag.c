/*
 * Ranks that disagree: NCCL compares versions only since 2.23.4, and only where the wire formats match; otherwise ranks
 * hang or say "message truncated". So the rank that makes the unique id writes into it which NCCL it uses, and each rank
 * compares before it joins. ranks.h has the layout.
 */
#include "ranks.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

struct tag {
    char mark[4];
    struct ncr_brief library;
    char place[56]; /* host, NUL, the end of the path, NUL */
};
_Static_assert(sizeof(struct tag) == sizeof(struct ncr_id) - NCR_ID_FREE, "the tag fills the free bytes");

static const char mark[4] = {'n', 'c', 'R', '1'};

static const char *kind_name(bool rccl) {
    return rccl ? "RCCL" : "NCCL";
}

static int version_of(const struct ncr_brief *library) {
    return library->major * 10000 + library->minor * 100 + library->patch;
}

/** Which library this is, as it stands in an id. */
struct ncr_brief ncr_brief_of(const struct ncr_library *library) {
    int version = library->backend.version;
    return (struct ncr_brief){library->backend.rccl, (unsigned char)(version / 10000),
                              (unsigned char)(version / 100 % 100), (unsigned char)(version % 100)};
}

static const char *file_of(const struct tag *tag) {
    size_t host = strlen(tag->place);
    return host + 1 < sizeof tag->place ? tag->place + host + 1 : "";
}

/* The file takes the room that the host, cut at 24 characters, leaves; of a longer path the end. */
static void tag_of(const struct ncr_library *library, struct tag *tag) {
    struct utsname host;
    const char *path = library->backend.path;
    memset(tag, 0, sizeof *tag);
    memcpy(tag->mark, mark, sizeof mark);
    tag->library = ncr_brief_of(library);
    size_t used = (size_t)snprintf(tag->place, 25, "%s", uname(&host) == 0 ? host.nodename : "?");
    used = (used < 25 ? used : 24) + 1;
    size_t room = sizeof tag->place - used - 1, length = strlen(path);
    if (length > room)
        snprintf(tag->place + used, room + 1, "...%s", path + length - (room - 3));
    else
        memcpy(tag->place + used, path, length);
}

/** Mark an id that `library` has just made, unless that is turned off or the library uses the bytes itself. */
void ncr_tag_id(const struct ncr_library *library, struct ncr_id *id) {
    static const char zero[sizeof(struct tag)];
    struct tag tag;
    if (!id || !ncr_settings()->tag || library->backend.version < 20500 ||
        memcmp(id->bytes + NCR_ID_FREE, zero, sizeof zero) != 0)
        return;
    tag_of(library, &tag);
    memcpy(id->bytes + NCR_ID_FREE, &tag, sizeof tag);
}

/**
 * Before a call that makes an id: 2.21.5 writes the bytes that it uses and leaves the rest as it is, which may be the
 * tag of an older id.
 */
void ncr_tag_clear(struct ncr_id *id) {
    if (id)
        memset(id->bytes + NCR_ID_FREE, 0, sizeof *id - NCR_ID_FREE);
}

/** Does the id come from a rank with the same library? If not, ncclInvalidUsage with an error message that names both. */
int ncr_tag_check(const struct ncr_library *library, const struct ncr_id *id) {
    struct tag theirs, ours;
    memcpy(&theirs, id->bytes + NCR_ID_FREE, sizeof theirs);
    if (!ncr_settings()->tag || memcmp(theirs.mark, mark, sizeof mark) != 0)
        return NCR_SUCCESS;
    tag_of(library, &ours);
    if (memcmp(&theirs.library, &ours.library, sizeof ours.library) == 0)
        return NCR_SUCCESS;
    char their_version[16], our_version[16];
    theirs.place[sizeof theirs.place - 1] = '\0'; /* it came over the network */
    ncr_version_text(version_of(&theirs.library), their_version);
    ncr_version_text(version_of(&ours.library), our_version);
    return ncr_refuse(library,
                      "the ranks of this communicator have different NCCLs: %s %s on %s (%s) here, "
                      "%s %s on %s (%s) where its "
                      "unique id was made. %s; NCCL_REDIRECT_TAG=0 turns this check off",
                      kind_name(ours.library.rccl), our_version, ours.place, library->backend.path,
                      kind_name(theirs.library.rccl), their_version, theirs.place, file_of(&theirs),
                      ncr_library_count() > 1 ? "Let nccl_redirect_use() or NCCL_REDIRECT_RULES choose the same for "
                                                "ncclGetUniqueId and on "
                                                "all ranks"
                                              : "Set NCCL_REDIRECT and NCCL_REDIRECT_REQUIRE alike on all hosts");
}
