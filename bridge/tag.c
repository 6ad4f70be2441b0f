/*
 * Ranks that disagree: NCCL compares versions only since 2.23.4, and only where the wire formats match; otherwise ranks hang or
 * say "message truncated". So the rank that makes the unique id writes into it which NCCL serves it, in bytes that every
 * NCCL since 2.5 leaves zero (64 to 127; NCCL only hashes them), and each rank compares before it joins. Ranks without the
 * shim pass the same bytes on and join as ever.
 */
#include "bridge.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { TAG_AT = 64 };

struct tag {
    char mark[4];
    int32_t version; /* major * 10000 + minor * 100 + patch */
    char rccl;
    char host[23]; /* cut, NUL-terminated */
    char file[32]; /* the end of the path, NUL-terminated */
};
_Static_assert(sizeof(struct tag) == 128 - TAG_AT, "the tag fills the free bytes");

static const char mark[4] = {'n', 'c', 'R', '1'};

static const char *kind_name(bool rccl) {
    return rccl ? "RCCL" : "NCCL";
}

static void tag_of(const struct ncr_library *library, struct tag *tag) {
    struct utsname host;
    const char *path = library->backend.path;
    size_t length = strlen(path), keep = sizeof tag->file - 1;
    memset(tag, 0, sizeof *tag);
    memcpy(tag->mark, mark, sizeof mark);
    tag->version = library->backend.version;
    tag->rccl = library->backend.rccl;
    snprintf(tag->host, sizeof tag->host, "%.22s", uname(&host) == 0 ? host.nodename : "?");
    snprintf(tag->file, sizeof tag->file, "%s", length > keep ? path + length - keep : path);
}

static void tag_id(const struct ncr_library *library, struct ncr_id *id) {
    static const char zero[128 - TAG_AT];
    struct tag tag;
    if (!ncr_settings()->tag || library->backend.version < 20500 || memcmp(id->bytes + TAG_AT, zero, sizeof zero) != 0)
        return;
    tag_of(library, &tag);
    memcpy(id->bytes + TAG_AT, &tag, sizeof tag);
}

/** ncclGetUniqueId, and the tag of the library that makes the id. */
int ncr_get_unique_id(struct ncr_id *id) {
    struct ncr_library *library = ncr_library_to_create(__builtin_return_address(0), NULL);
    int code = NCR_OWN(library, ncclGetUniqueId)(id);
    if (code == NCR_SUCCESS)
        tag_id(library, id);
    return code;
}

/** ncclCommGetUniqueId (for ncclCommGrow), likewise. */
int ncr_comm_get_unique_id(ncr_comm comm, struct ncr_id *id) {
    struct ncr_library *library = ncr_library_of(comm);
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
    if (theirs.version == ours.version && theirs.rccl == ours.rccl)
        return NCR_SUCCESS;
    char their_version[16], our_version[16];
    theirs.host[sizeof theirs.host - 1] = theirs.file[sizeof theirs.file - 1] = '\0';
    ncr_version_text(theirs.version, their_version);
    ncr_version_text(ours.version, our_version);
    return ncr_refuse(library,
                      "the ranks of this communicator have different NCCLs: %s %s on %s (%s) here, %s %s on %s (...%s) where its "
                      "unique id was made. Set NCCL_REDIRECT and NCCL_REDIRECT_REQUIRE alike on all hosts; NCCL_REDIRECT_TAG=0 "
                      "turns this check off",
                      kind_name(ours.rccl), our_version, ours.host, library->backend.path, kind_name(theirs.rccl),
                      their_version, theirs.host, theirs.file);
}
