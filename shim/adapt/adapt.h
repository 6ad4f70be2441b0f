/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer that hides differences between versions: adapters are C functions in a slot whose function the backend
 * lacks and other NCCL functions can replace exactly, or whose arguments it would misread from a program compiled for
 * another version. Decided once per library (adapt.c); a backend that needs no adapter keeps the plain jump. What
 * cannot be done exactly is refused (ncr_refuse) with the reason. An adapter works on the library that the call goes to
 * (ncr_called_library).
 *
 * Facts about NCCL's versions are from NCCL's sources at the tags named beside them; tests/test_adapt_*.c and
 * docs/versions.md check them against real libraries.
 */
#ifndef NCR_ADAPT_H
#define NCR_ADAPT_H

#include "shim.h"

/* ---- adapt.c ---- */

void ncr_reset_debug_init(void);
int ncr_group_end_unsimulated(void *info);

/* ---- isolate.c: the library's calls to its own functions stay inside it ---- */

void ncr_isolate(const struct ncr_library *library);

/* ---- config.c: ncclConfig_t ---- */

/* Room for a corrected copy; as large as any configuration so far, with a margin. */
struct ncr_config_copy {
    _Alignas(8) char bytes[512];
};

void *ncr_config_fit(const struct ncr_library *library, void *config, struct ncr_config_copy *copy);
int ncr_program_version(void);

/* ---- create.c: communicators ---- */

ncr_fn_ncclCommInitRankConfig ncr_adapt_init_rank_config;
ncr_fn_ncclCommInitRankScalable ncr_adapt_init_rank_scalable;
ncr_fn_ncclCommSplit ncr_adapt_split;
ncr_fn_ncclCommShrink ncr_adapt_shrink;
ncr_fn_ncclCommGrow ncr_adapt_grow;
int ncr_adapt_finalize(ncr_comm comm);

/* ---- exchange.c: by grouped sends and receives ---- */

ncr_fn_ncclAlltoAll ncr_all_to_all;
ncr_fn_ncclGather ncr_gather;
ncr_fn_ncclScatter ncr_scatter;

/* ---- types.c: element types that the backend does not know, moved as bytes ---- */

ncr_fn_ncclSend ncr_send_as_bytes;
ncr_fn_ncclRecv ncr_recv_as_bytes;
ncr_fn_ncclBroadcast ncr_broadcast_as_bytes;
ncr_fn_ncclBcast ncr_bcast_as_bytes;
ncr_fn_ncclAllGather ncr_all_gather_as_bytes;

/* ---- percall.c: the forms with a configuration per call (2.31) ---- */

int ncr_all_reduce_config(const void *from, void *to, size_t count, int type, int op, ncr_comm comm, ncr_stream stream,
                          const void *config);
int ncr_reduce_scatter_config(const void *from, void *to, size_t count, int type, int op, ncr_comm comm,
                              ncr_stream stream, const void *config);
int ncr_reduce_config(const void *from, void *to, size_t count, int type, int op, int root, ncr_comm comm,
                      ncr_stream stream, const void *config);
int ncr_broadcast_config(const void *from, void *to, size_t count, int type, int root, ncr_comm comm, ncr_stream stream,
                         const void *config);
int ncr_all_gather_config(const void *from, void *to, size_t count, int type, ncr_comm comm, ncr_stream stream,
                          const void *config);
int ncr_all_to_all_config(const void *from, void *to, size_t count, int type, ncr_comm comm, ncr_stream stream,
                          const void *config);
int ncr_gather_config(const void *from, void *to, size_t count, int type, int root, ncr_comm comm, ncr_stream stream,
                      const void *config);
int ncr_scatter_config(const void *from, void *to, size_t count, int type, int root, ncr_comm comm, ncr_stream stream,
                       const void *config);

/* ---- memory.c: allocation, registration, windows ---- */

int ncr_mem_alloc(void **pointer, size_t size);
int ncr_mem_free(void *pointer);
int ncr_comm_register(ncr_comm comm, void *buffer, size_t size, void **handle);
int ncr_comm_deregister(ncr_comm comm, void *handle);
ncr_fn_ncclCommWindowRegister ncr_window_register;
ncr_fn_ncclCommWindowDeregister ncr_window_deregister;
int ncr_window_user_pointer(ncr_comm comm, ncr_window window, void **pointer);

/* ---- device.c: the host side of the device API ---- */

ncr_fn_ncclDevCommCreate ncr_dev_comm_create;
ncr_fn_ncclLsaBarrierCreateRequirement ncr_lsa_barrier_requirement;
ncr_fn_ncclLLA2ACreateRequirement ncr_ll_a2a_requirement;
struct ncr_team ncr_team_world(ncr_comm comm);
int ncr_team_rank_to_world(ncr_comm comm, struct ncr_team team, int rank);

#endif
