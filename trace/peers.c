/* SPDX-License-Identifier: Apache-2.0 */
/* How many messages have gone between two ranks, by the counters of the file: those are exact, whatever the ring has lost. */
#include "trace.h"

#include <stdlib.h>

static int by_key(const void *a, const void *b) {
    uint64_t one = ((const struct trace_peer *)a)->key, other = ((const struct trace_peer *)b)->key;
    return one < other ? -1 : one > other;
}

/** Reads the counters of a file. */
void trace_peers_read(struct trace_file *file) {
    unsigned rows, used = 0;
    free(file->peers);
    file->peers = trace_file_table(file, TRACE_TABLE_PEERS, sizeof *file->peers, &rows);
    for (unsigned i = 0; i < rows; i++)
        if (file->peers[i].key)
            file->peers[used++] = file->peers[i];
    if (used)
        qsort(file->peers, used, sizeof *file->peers, by_key);
    file->peer_count = used;
}

/** The counters of a rank's messages with another one; NULL if there were none. */
struct trace_peer *trace_peer_find(const struct trace_file *file, unsigned comm, int rank) {
    struct trace_peer wanted = {.key = TRACE_PEER_KEY(comm, rank)};
    return file->peer_count ? bsearch(&wanted, file->peers, file->peer_count, sizeof wanted, by_key) : NULL;
}
