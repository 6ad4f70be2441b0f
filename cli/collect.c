/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traces of this host as one tar stream (ustar, POSIX.1-1988), for a launcher to bring together: srun
 * --ntasks-per-node=1 nccl-redirect trace collect | tar x -i. Each copy gets the state of its process and the time,
 * which cannot be found out from another host later.
 */
#include "traces.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TAR_BLOCK = 512 };

struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2];
    char user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "");

static bool write_header(FILE *to, const char *name, size_t size) {
    struct tar_header header = {.type = '0'};
    unsigned sum = 0;
    size_t length = strnlen(name, sizeof header.name - 1);
    memcpy(header.name, name, length);
    memcpy(header.magic, "ustar", 6);
    memcpy(header.version, "00", 2);
    snprintf(header.mode, sizeof header.mode, "%07o", 0600u);
    snprintf(header.uid, sizeof header.uid, "%07o", (unsigned)getuid() & 07777777);
    snprintf(header.gid, sizeof header.gid, "%07o", (unsigned)getgid() & 07777777);
    snprintf(header.size, sizeof header.size, "%011llo", (unsigned long long)size);
    snprintf(header.mtime, sizeof header.mtime, "%011llo", (unsigned long long)time(NULL));
    memset(header.checksum, ' ', sizeof header.checksum);
    for (size_t i = 0; i < sizeof header; i++)
        sum += ((unsigned char *)&header)[i];
    snprintf(header.checksum, sizeof header.checksum, "%06o", sum);
    return fwrite(&header, sizeof header, 1, to) == 1;
}

static bool write_padding(FILE *to, size_t size) {
    static const char zeros[2 * TAR_BLOCK];
    size_t rest = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
    return !rest || fwrite(zeros, rest, 1, to) == 1;
}

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The copy as the reader elsewhere needs it. */
static void note_observation(const struct trace_file *file, struct trace_header *header) {
    header->observed = file->life;
    header->observed_at = (struct trace_instant){trace_ticks_now(header->clock), nanoseconds(CLOCK_MONOTONIC),
                                                 nanoseconds(CLOCK_REALTIME), 1};
}

static bool write_trace(const struct trace_file *file, FILE *to) {
    size_t size = file->header.size;
    char *image = trace_take(1, size);
    bool good = size >= sizeof(struct trace_header) && pread(file->descriptor, image, size, 0) == (ssize_t)size;
    if (good && trace_is_of_this_host(file))
        note_observation(file, (struct trace_header *)(void *)image);
    good = good && write_header(to, ncr_basename(file->path), size) && fwrite(image, size, 1, to) == 1 &&
           write_padding(to, size);
    free(image);
    return good;
}

int trace_collect(const struct trace_set *set, FILE *to) {
    static const char end[2 * TAR_BLOCK];
    if (isatty(fileno(to))) {
        complain(
            "trace collect writes a tar stream, which is not for a terminal; redirect it: nccl-redirect trace collect >traces.tar");
        return EXIT_USAGE;
    }
    for (unsigned i = 0; i < set->count; i++) {
        if (!write_trace(set->files[i], to)) {
            complain("%s cannot be copied", set->files[i]->path);
            return EXIT_OUTPUT;
        }
        progress_print(NULL, "collecting", i + 1, set->count);
    }
    return fwrite(end, sizeof end, 1, to) == 1 && fflush(to) == 0 ? EXIT_FINE : EXIT_OUTPUT;
}
