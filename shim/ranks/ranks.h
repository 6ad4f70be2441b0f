/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer for what ranks tell each other before they join: the unique id. NCCL's own bytes are left as they are; the
 * bytes that NCCL leaves free carry what is described here, so that ranks that disagree get an error message instead of
 * a hang. Ranks without the preload library pass on the same bytes and join as usual.
 *
 * An ncclUniqueId has 128 bytes. NCCL's own part is the first 64 at most (48 since 2.8), is made and read by NCCL alone,
 * and the bytes behind are zero in every version since 2.5 (NCCL only hashes them). Bytes 64 to 127 hold one of:
 *
 *   tag         offset 64  "ncR1"
 *                      68  1 for RCCL, 0 for NCCL
 *                      69  major, minor, patch of the library that made the id, one byte each
 *                      72  host name, at most 24 bytes; NUL; the end of the library's path; NUL; zeros
 *                     119  where the library has a build-id: NUL, then 1 (at 120), then 7 bytes of the build-id. Tags of
 *                          version 0.1.0 have none, and a longer path instead
 *   second id   offset 64  "ncR2"
 *                      68  of the library that made the id: RCCL or not, major, minor, patch
 *                      72  of the second library: likewise
 *                      76  an id of the second library, its first 48 bytes
 *                     124  zeros
 *
 * All fields are bytes, so there is no byte order to agree on. A change of this layout must keep reading what older
 * versions wrote.
 */
#ifndef NCR_RANKS_H
#define NCR_RANKS_H

#include "shim.h"

enum { NCR_ID_FREE = 64 /* where the free bytes of an id start */ };

/* Which library, as it stands in an id. */
struct ncr_brief {
    unsigned char rccl, major, minor, patch;
};

/* ---- tag.c: which library made the id ---- */

struct ncr_brief ncr_brief_of(const struct ncr_library *library);
void ncr_tag_clear(struct ncr_id *id);
void ncr_tag_id(const struct ncr_library *library, struct ncr_id *id);
int ncr_tag_check(const struct ncr_library *library, const struct ncr_id *id);

/* ---- second_id.c: an id for two libraries ---- */

void ncr_second_id_add(const struct ncr_library *library, const struct ncr_library *other, struct ncr_id *id);
int ncr_second_id_take(const struct ncr_library *library, bool by_name, struct ncr_id *id);

#endif
