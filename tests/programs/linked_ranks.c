/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rank of a job: an unmodified NCCL program that any launcher starts. Rank and size are from the launcher's
 * environment, the unique id passes through a file. Prints one line, such as
 *
 *   rank=0 size=2 version=22809 all-reduce=right
 *
 * usage: linked_ranks ID_FILE [GATE]     With GATE it stays until a file of that name is there.
 */
#include "../support/nccl_id.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct ncclComm *ncclComm_t;
enum { ncclInt64 = 4, ncclSum = 0, COUNT = 10000 };
int ncclGetVersion(int *version);
int ncclGetUniqueId(ncclUniqueId *id);
int ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank);
int ncclCommDestroy(ncclComm_t comm);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation, ncclComm_t comm, void *stream);
const char *ncclGetLastError(ncclComm_t comm);

static int number_of(const char *const *names) {
    for (; *names; names++)
        if (getenv(*names))
            return atoi(getenv(*names));
    fprintf(stderr, "linked_ranks: no launcher told the rank\n");
    exit(1);
}

static void wait_for(const char *file) {
    for (int i = 0; access(file, R_OK) != 0; i++) {
        if (i == 3000) { /* 30 s */
            fprintf(stderr, "linked_ranks: %s did not appear\n", file);
            exit(1);
        }
        usleep(10000);
    }
}

/* Rank 0 writes the id beside the file and renames it, so that no rank reads half of it. */
static ncclUniqueId share_id(int rank, const char *file) {
    ncclUniqueId id;
    FILE *stream;
    if (rank == 0) {
        char *whole = NULL;
        if (ncclGetUniqueId(&id) != 0 || asprintf(&whole, "%s.new", file) < 0 || !(stream = fopen(whole, "w")))
            exit(1);
        fwrite(&id, sizeof id, 1, stream);
        fclose(stream);
        rename(whole, file);
        free(whole);
        return id;
    }
    wait_for(file);
    stream = fopen(file, "r");
    if (!stream || fread(&id, sizeof id, 1, stream) != 1)
        exit(1);
    fclose(stream);
    return id;
}

static const char *all_reduce(ncclComm_t comm, int rank, int size) {
    static int64_t values[COUNT];
    for (int i = 0; i < COUNT; i++)
        values[i] = i + rank;
    if (ncclAllReduce(values, values, COUNT, ncclInt64, ncclSum, comm, NULL) != 0)
        return "failed";
    for (int i = 0; i < COUNT; i++)
        if (values[i] != (int64_t)i * size + size * (size - 1) / 2)
            return "wrong";
    return "right";
}

int main(int count, char **arguments) {
    int rank = number_of((const char *const[]){"OMPI_COMM_WORLD_RANK", "RANK", "SLURM_PROCID", NULL});
    int size = number_of((const char *const[]){"OMPI_COMM_WORLD_SIZE", "WORLD_SIZE", "SLURM_NTASKS", NULL});
    int version = 0;
    ncclComm_t comm;
    if (count < 2)
        return 2;
    ncclGetVersion(&version);
    int code = ncclCommInitRank(&comm, size, share_id(rank, arguments[1]), rank);
    printf("rank=%d size=%d version=%d all-reduce=%s\n", rank, size, version,
           code == 0 ? all_reduce(comm, rank, size) : "failed");
    fflush(stdout);
    if (code != 0)
        fprintf(stderr, "linked_ranks: rank %d: %s\n", rank, ncclGetLastError(NULL));
    else
        ncclCommDestroy(comm);
    if (count > 2)
        wait_for(arguments[2]);
    return 0;
}
