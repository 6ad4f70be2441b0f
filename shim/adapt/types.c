/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Element types that an older backend does not know: bfloat16 before 2.10.3, the two fp8 types before 2.24.3. Calls
 * that only move data get a type of the same size, which is what NCCL itself does with them (v2.8.4:argcheck.cc:46).
 * Reductions keep the backend's own error. All ranks translate alike, since all have the same backend.
 */
#include "adapt.h"

enum { UINT8 = 1, FLOAT16 = 6, BFLOAT16 = 9, FLOAT8_FIRST = 10, FLOAT8_LAST = 11 };

static int known_type(const struct ncr_library *library, int type) {
    if (type >= FLOAT8_FIRST && type <= FLOAT8_LAST)
        return UINT8;
    return type == BFLOAT16 && library->backend.version < 21003 ? FLOAT16 : type;
}

int ncr_send_as_bytes(const void *buffer, size_t count, int type, int peer, ncr_comm comm, ncr_stream stream) {
    struct ncr_library *library = ncr_called_library();
    return NCR_TARGET(library, ncclSend)(buffer, count, known_type(library, type), peer, comm, stream);
}

int ncr_recv_as_bytes(void *buffer, size_t count, int type, int peer, ncr_comm comm, ncr_stream stream) {
    struct ncr_library *library = ncr_called_library();
    return NCR_TARGET(library, ncclRecv)(buffer, count, known_type(library, type), peer, comm, stream);
}

int ncr_broadcast_as_bytes(const void *from, void *to, size_t count, int type, int root, ncr_comm comm,
                           ncr_stream stream) {
    struct ncr_library *library = ncr_called_library();
    return NCR_TARGET(library, ncclBroadcast)(from, to, count, known_type(library, type), root, comm, stream);
}

int ncr_bcast_as_bytes(void *buffer, size_t count, int type, int root, ncr_comm comm, ncr_stream stream) {
    struct ncr_library *library = ncr_called_library();
    return NCR_TARGET(library, ncclBcast)(buffer, count, known_type(library, type), root, comm, stream);
}

int ncr_all_gather_as_bytes(const void *from, void *to, size_t count, int type, ncr_comm comm, ncr_stream stream) {
    struct ncr_library *library = ncr_called_library();
    return NCR_TARGET(library, ncclAllGather)(from, to, count, known_type(library, type), comm, stream);
}
