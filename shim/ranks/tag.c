/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks that disagree: NCCL compares versions only since 2.23.4, and only where the wire formats match; otherwise ranks
 * hang or say "message truncated". So the rank that creates the unique id writes into it which NCCL it uses, and each
 * rank compares before it joins. ranks.h has the layout.
 */
#include "ranks.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { PLACE = 56, PLACE_WITH_BUILD = 48, BUILD_BYTES = 7 };

struct tag {
    char mark[4];
    struct ncr_brief library;
    union {
        char place[PLACE]; /* host, NUL, the end of the path, NUL */
        struct {
            char place_before[PLACE_WITH_BUILD];
            char has_build; /* 1; tags of versions without build-ids have no such byte after a NUL */
            unsigned char build[BUILD_BYTES];
        };
    };
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

static bool has_build(const struct tag *tag) {
    return tag->has_build == 1 && tag->place_before[PLACE_WITH_BUILD - 1] == '\0';
}

/* For a tag that came over the network: make sure that its strings end. */
static const char *file_of(struct tag *tag) {
    tag->place[has_build(tag) ? PLACE_WITH_BUILD - 1 : PLACE - 1] = '\0';
    size_t host = strlen(tag->place);
    return host + 1 < PLACE_WITH_BUILD ? tag->place + host + 1 : "";
}

/* The file takes the room that the host, cut at 24 characters, leaves; of a longer path the end. */
static void set_place(struct tag *tag, const char *path, size_t size) {
    struct utsname host;
    size_t used = (size_t)snprintf(tag->place, 25, "%s", uname(&host) == 0 ? host.nodename : "?");
    used = (used < 25 ? used : 24) + 1;
    size_t room = size - used - 1, length = strlen(path);
    if (length > room)
        snprintf(tag->place + used, room + 1, "...%s", path + length - (room - 3));
    else
        memcpy(tag->place + used, path, length);
}

static unsigned digit(char hex) {
    return hex <= '9' ? (unsigned)(hex - '0') : (unsigned)(hex - 'a' + 10);
}

static void tag_of(const struct ncr_library *library, struct tag *tag) {
    const char *build = library->backend.build_id;
    memset(tag, 0, sizeof *tag);
    memcpy(tag->mark, mark, sizeof mark);
    tag->library = ncr_brief_of(library);
    tag->has_build = build && strlen(build) >= 2 * BUILD_BYTES ? (char)1 : (char)0;
    set_place(tag, library->backend.path, tag->has_build ? PLACE_WITH_BUILD : PLACE);
    for (size_t i = 0; build && tag->has_build && i < BUILD_BYTES; i++)
        tag->build[i] = (unsigned char)(16 * digit(build[2 * i]) + digit(build[2 * i + 1]));
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

static int refuse_other_nccl(const struct ncr_library *library, const struct tag *ours, struct tag *theirs) {
    char their_version[16], our_version[16];
    const char *file = file_of(theirs);
    ncr_version_text(version_of(&theirs->library), their_version);
    ncr_version_text(version_of(&ours->library), our_version);
    return ncr_refuse(
        library,
        "NCCL mismatch: this rank uses %s %s on %s (%s); the rank that created the unique ID uses %s %s on "
        "%s (%s). %s; NCCL_REDIRECT_TAG=0 turns this check off",
        kind_name(ours->library.rccl), our_version, ours->place, library->backend.path, kind_name(theirs->library.rccl),
        their_version, theirs->place, file,
        ncr_library_count() > 1 ? "Let nccl_redirect_use() or NCCL_REDIRECT_RULES choose the same for "
                                  "ncclGetUniqueId and on all ranks"
                                : "Set NCCL_REDIRECT and NCCL_REDIRECT_REQUIRE to the same values on all hosts");
}

/*
 * Different builds of one version mostly work together, so this is not refused; where they do not, this line saves
 * days.
 */
static void warn_of_other_build(const struct ncr_library *library, struct tag *theirs) {
    static atomic_flag warned = ATOMIC_FLAG_INIT;
    char version[16], build[2 * BUILD_BYTES + 1];
    if (atomic_flag_test_and_set(&warned))
        return;
    const char *file = file_of(theirs);
    for (size_t i = 0; i < BUILD_BYTES; i++)
        snprintf(build + 2 * i, 3, "%02x", theirs->build[i]);
    ncr_version_text(library->backend.version, version);
    ncr_log(NCR_WARN,
            "ranks use different builds of %s %s: this rank uses build %.*s (%s), the rank that created the unique ID "
            "uses build %s on %s (%s). Different builds can hang or be refused by NCCL; use the same file on all hosts "
            "(`nccl-redirect fingerprint` compares them)",
            kind_name(library->backend.rccl), version, 2 * BUILD_BYTES, library->backend.build_id,
            library->backend.path, build, theirs->place, file);
}

/**
 * Does the id come from a rank with the same library? If not, ncclInvalidUsage with an error message that names both; if
 * only the build differs, one warning and ncclSuccess.
 */
int ncr_tag_check(const struct ncr_library *library, const struct ncr_id *id) {
    struct tag theirs, ours;
    memcpy(&theirs, id->bytes + NCR_ID_FREE, sizeof theirs);
    if (!ncr_settings()->tag || memcmp(theirs.mark, mark, sizeof mark) != 0)
        return NCR_SUCCESS;
    tag_of(library, &ours);
    if (memcmp(&theirs.library, &ours.library, sizeof ours.library) != 0)
        return refuse_other_nccl(library, &ours, &theirs);
    if (has_build(&theirs) && has_build(&ours) && memcmp(theirs.build, ours.build, BUILD_BYTES) != 0)
        warn_of_other_build(library, &theirs);
    return NCR_SUCCESS;
}
