/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unique ids between processes.
 *
 * usage: adapt_id PATH make FILL               prints an id in hexadecimal digits, made where
 *                                               every byte was FILL
 *        adapt_id PATH join ID RANKS RANK FORM prints what the creation gave, and its error
 *
 * FORM: rank, config, scalable, grow, or group (ncclCommInitRank in a group, with its end).
 */
#include "adapt_newest.h"

static void make(int fill) {
    ncclUniqueId id;
    memset(&id, fill, sizeof id);
    ncclResult_t code = nccl.GetUniqueId(&id);
    if (code != ncclSuccess)
        printf("code %d", code);
    for (size_t i = 0; code == ncclSuccess && i < sizeof id; i++)
        printf("%02x", (unsigned char)id.internal[i]);
}

static ncclUniqueId read_id(const char *digits) {
    ncclUniqueId id;
    for (size_t i = 0; i < sizeof id; i++) {
        unsigned byte = 0;
        sscanf(digits + 2 * i, "%2x", &byte);
        id.internal[i] = (char)byte;
    }
    return id;
}

static int in_group(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank) {
    nccl.GroupStart();
    ncclResult_t code = nccl.CommInitRank(comm, ranks, id, rank);
    printf("end %d, ", nccl.GroupEnd());
    return code;
}

static void join(ncclUniqueId id, int ranks, int rank, const char *form) {
    struct newest_config config = newest_config(1);
    ncclComm_t comm = NULL;
    double start = now();
    int code = -1, sum = 1;
    if (strcmp(form, "rank") == 0)
        code = nccl.CommInitRank(&comm, ranks, id, rank);
    else if (strcmp(form, "config") == 0)
        code = nccl.CommInitRankConfig(&comm, ranks, id, rank, &config.head);
    else if (strcmp(form, "scalable") == 0)
        code = nccl.CommInitRankScalable(&comm, ranks, rank, 1, &id, &config.head);
    else if (strcmp(form, "grow") == 0)
        code = ((int (*)(ncclComm_t, int, ncclUniqueId *, int, ncclComm_t *, void *))find("ncclCommGrow"))(
            NULL, ranks, &id, rank, &comm, &config);
    else
        code = in_group(&comm, ranks, id, rank);
    printf("rank %d: code %d, %s: %s\n", rank, code, now() - start < 10 ? "soon" : "late",
           code ? nccl.GetLastError(NULL) : "");
    if (code == 0 && nccl.AllReduce(&sum, &sum, 1, ncclInt32, ncclSum, comm, NULL) == 0)
        printf("rank %d: sum %d\n", rank, sum);
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    newest_library = dlopen(argv[1], RTLD_NOW);
#define XX(result, name, ...) nccl.name = (result(*)(__VA_ARGS__))dlsym(newest_library, "nccl" #name);
    FUNCTIONS(XX)
#undef XX
    if (strcmp(argv[2], "make") == 0)
        make(atoi(argv[3]));
    else if (argc == 7)
        join(read_id(argv[3]), atoi(argv[4]), atoi(argv[5]), argv[6]);
    else
        return 2;
    return 0;
}
