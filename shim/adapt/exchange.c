/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AlltoAll, Gather and Scatter before 2.28.3, by grouped sends and receives: what NCCL itself makes of them where it
 * does not use copy engines (v2.28.9:enqueue.cc:2585). They nest in an outer group, may be captured and pass
 * ncclInProgress on.
 */
#include "adapt.h"

/** Bytes per element of an ncclDataType_t, 0 for one that no NCCL has. */
static size_t type_size(int type) {
    static const unsigned char sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    return type >= 0 && type < (int)sizeof sizes ? sizes[type] : 0;
}

/* One exchange: its library's functions, and the first error. */
struct exchange {
    struct ncr_library *library;
    ncr_comm comm;
    ncr_stream stream;
    size_t count;
    int type;
    size_t stride; /* bytes from one rank's part to the next */
    int root, ranks, rank, code;
};

/* False if nothing is to be exchanged; x->code tells whether that is an error. */
static bool begin(struct exchange *x, const char *invalid) {
    x->code = NCR_TARGET(x->library, ncclCommCount)(x->comm, &x->ranks);
    if (!x->code)
        x->code = NCR_TARGET(x->library, ncclCommUserRank)(x->comm, &x->rank);
    if (x->code) {
        ncr_fail_group(x->library, x->code);
        return false;
    }
    x->stride = x->count * type_size(x->type);
    if (!type_size(x->type) || x->root < 0 || x->root >= x->ranks) {
        x->code = ncr_invalid(x->library, invalid);
        return false;
    }
    x->code = x->count ? NCR_TARGET(x->library, ncclGroupStart)() : NCR_SUCCESS;
    return x->count && !x->code;
}

/* In a group a communicator that does not block may answer ncclInProgress, which is no error. */
static void note(struct exchange *x, int code) {
    if (code != NCR_SUCCESS && code != NCR_IN_PROGRESS)
        x->code = code;
}

static void send(struct exchange *x, const void *buffer, int peer) {
    if (!x->code)
        note(x, NCR_ENTRY(x->library, ncclSend)(buffer, x->count, x->type, peer, x->comm, x->stream));
}

static void receive(struct exchange *x, void *buffer, int peer) {
    if (!x->code)
        note(x, NCR_ENTRY(x->library, ncclRecv)(buffer, x->count, x->type, peer, x->comm, x->stream));
}

/* The group must be ended even after an error, with nothing launched, and an outer one must not launch the rest. */
static int end(struct exchange *x) {
    if (x->code)
        ncr_fail_group(x->library, x->code);
    int code = NCR_TARGET(x->library, ncclGroupEnd)();
    return x->code ? x->code : code;
}

static struct exchange exchange_of(size_t count, int type, int root, ncr_comm comm, ncr_stream stream) {
    return (struct exchange){
        .library = ncr_called_library(), .comm = comm, .stream = stream, .count = count, .type = type, .root = root};
}

/** ncclAlltoAll (RCCL: ncclAllToAll): `count` elements to and from each rank. */
int ncr_all_to_all(const void *from, void *to, size_t count, int type, ncr_comm comm, ncr_stream stream) {
    struct exchange x = exchange_of(count, type, 0, comm, stream);
    if (!begin(&x, "ncclAlltoAll: invalid type"))
        return x.code;
    for (int peer = 0; peer < x.ranks; peer++) {
        send(&x, (const char *)from + (size_t)peer * x.stride, peer);
        receive(&x, (char *)to + (size_t)peer * x.stride, peer);
    }
    return end(&x);
}

/** ncclGather: `count` elements from each rank, one behind the other on the root. */
int ncr_gather(const void *from, void *to, size_t count, int type, int root, ncr_comm comm, ncr_stream stream) {
    struct exchange x = exchange_of(count, type, root, comm, stream);
    if (!begin(&x, "ncclGather: invalid type or root"))
        return x.code;
    for (int peer = 0; x.rank == root && peer < x.ranks; peer++)
        receive(&x, (char *)to + (size_t)peer * x.stride, peer);
    send(&x, from, root);
    return end(&x);
}

/** ncclScatter: `count` elements to each rank, from one behind the other on the root. */
int ncr_scatter(const void *from, void *to, size_t count, int type, int root, ncr_comm comm, ncr_stream stream) {
    struct exchange x = exchange_of(count, type, root, comm, stream);
    if (!begin(&x, "ncclScatter: invalid type or root"))
        return x.code;
    for (int peer = 0; x.rank == root && peer < x.ranks; peer++)
        send(&x, (const char *)from + (size_t)peer * x.stride, peer);
    receive(&x, to, root);
    return end(&x);
}
