/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared memory of a communicator: a sparse file that every rank maps, whether it is a thread or a process. The
 * first rank creates it by its name, the last one removes the name, so that nothing is left behind however the ranks
 * end. Only a rank that is killed while it waits for others can leave a name.
 */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

static size_t pipes_offset(int nranks) {
    size_t head = sizeof(struct segment) + (size_t)nranks * sizeof(struct member);
    return (head + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static size_t segment_bytes(int nranks) {
    return pipes_offset(nranks) + CHANNELS * (size_t)nranks * (size_t)nranks * sizeof(struct pipe);
}

struct pipe *segment_pipe(struct segment *segment, int nranks, enum channel channel, int from, int to) {
    struct pipe *pipes = (struct pipe *)((char *)segment + pipes_offset(nranks));
    return &pipes[((size_t)channel * (size_t)nranks + (size_t)from) * (size_t)nranks + (size_t)to];
}

/*
 * Memory where possible; containers may have no /dev/shm. The path travels in the unique id, so that all ranks agree.
 */
static const char *segment_folder(void) {
    const char *folder = getenv("TMPDIR");
    if (access("/dev/shm", W_OK | X_OK) == 0)
        return "/dev/shm";
    if (folder && folder[0] == '/' && strlen(folder) < 48)
        return folder;
    return "/tmp";
}

bool segment_new_path(char *path, size_t size) {
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return false;
    /* With its prefix no longer than NCCL's own ids, of which tools may rely on the rest being zero. */
    int length = snprintf(path, size, "%s/nccl-hostmem-%016llx", segment_folder(), (unsigned long long)number);
    return length > 0 && (size_t)length < size;
}

ncclResult_t segment_attach(const char *path, int nranks, int rank, struct segment **result) {
    /* Every rank gives the file the same length: no rank has to be first. */
    size_t bytes = segment_bytes(nranks);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return fail(ncclSystemError, "cannot open the shared memory %s: %s", path, strerror(errno));
    struct segment *segment = MAP_FAILED;
    if (ftruncate(file, (off_t)bytes) == 0)
        segment = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    int error = errno;
    close(file);
    if (segment == MAP_FAILED) {
        unlink(path);
        return fail(ncclSystemError, "cannot map %zu bytes of shared memory %s: %s", bytes, path, strerror(error));
    }
    if (atomic_exchange(&segment->members[rank].present, 1)) {
        munmap(segment, bytes);
        return fail(ncclInvalidUsage, "rank %d of %d was given twice for one unique id", rank, nranks);
    }
    if (atomic_fetch_add(&segment->attached, 1) + 1 == (uint32_t)nranks) {
        unlink(path);
        atomic_store(&segment->ready, 1);
        futex_wake_all(&segment->ready);
    }
    *result = segment;
    return ncclSuccess;
}

bool segment_wait_ready(struct segment *segment, double timeout) {
    double deadline = seconds_now() + timeout;
    while (!atomic_load(&segment->ready)) {
        double left = deadline - seconds_now();
        if (left <= 0)
            return false;
        futex_wait(&segment->ready, 0, left);
    }
    return true;
}

void segment_detach(struct segment *segment, const char *path, int nranks) {
    if (!atomic_load(&segment->ready))
        unlink(path);
    munmap(segment, segment_bytes(nranks));
}

void segment_abort(struct segment *segment, int nranks, int rank) {
    uint32_t nobody = 0;
    atomic_compare_exchange_strong(&segment->aborted, &nobody, 1 + (uint32_t)rank);
    for (int i = 0; i < nranks; i++)
        bell_ring(&segment->members[i]);
}
